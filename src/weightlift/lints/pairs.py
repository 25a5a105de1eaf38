"""Which save of a project writes what a load of it reads."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from ..typed import TYPE_CHECKING

if TYPE_CHECKING:
    from .source_file import SourceFile


class Project:
    """The saves and loads of some files, looked for when they are first asked for."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def loads_a_state_dict(self, call: ast.Call, file: SourceFile) -> bool:  # noqa: ARG002
        """Whether what a load reads is saved in this project, and is a state dict wherever it is saved."""
        return False

    def overlay(self, contents: Mapping[str, bytes]) -> None:
        """Take these bytes for what is in the files."""
