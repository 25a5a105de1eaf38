"""What linting says of a file: diagnostics with their place, and fixes that are not applied yet."""

from __future__ import annotations

import ast
from collections.abc import Callable

from ..typed import Any, Literal, TypeAlias
from ..values import dataclass, field

Grade: TypeAlias = Literal["safe", "unsafe"]
Rewrite: TypeAlias = Callable[[Any], Any]
"""From a libcst node to the one that stands in its place (or what libcst's transformers may return)."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The node that spans exactly this range is handed to `rewrite`. Lines and columns count from 1, the end past it.

    `statement` says that the whole statement is meant and not the expression that may span the same range. `imports`
    are modules that the rewritten code needs (`copy`, `torch`). `path` names another file of the project.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    rewrite: Rewrite
    imports: tuple[str, ...] = ()
    path: str | None = None
    statement: bool = False


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that are applied together or not at all; `title` says what they do: `call load_state_dict`."""

    grade: Grade
    title: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule yields: the node that is wrong, why, and how it is put right."""

    node: ast.AST
    message: str
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. Lines and columns count from 1, in characters; the end is past the last one.

    In a notebook `cell` counts its cells from 1, text cells too, and the lines are those of the cell.
    """

    code: str
    name: str
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    message: str
    fix: Fix | None = None
    cell: int | None = None

    @property
    def place(self) -> tuple[str, int, int, int, str]:
        """Where it is, to sort by."""
        return (self.path, self.cell or 0, self.line, self.column, self.code)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of a run. `torch_min` is the oldest torch that the code has to run with, as (2, 6)."""

    select: tuple[str, ...] = ()
    """Codes or their beginnings (`WL1`); none means every rule that is on by default."""
    ignore: tuple[str, ...] = ()
    per_file_ignores: tuple[tuple[str, tuple[str, ...]], ...] = field(default_factory=tuple)
    exclude: tuple[str, ...] = ()
    torch_min: tuple[int, int] = (2, 6)
    to: str | None = None
    """`weightlift` where fixes may use weightlift itself."""
