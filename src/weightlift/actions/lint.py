"""`lint`: code that saves or loads weights badly, why, and where the rewrite is certain, the rewrite."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..lints.check import check_file
from ..lints.config import Asked, Configurations, Configured, target, version
from ..lints.pairs import Project
from ..lints.rule import Rule
from ..lints.source_file import SourceFile
from ..lints.table import BROKEN_FILE, FAILED_RULE
from ..lints.values import Diagnostic
from ..values import dataclass
from .lint_targets import Target, lint_targets


@dataclass(frozen=True, slots=True)
class Lint:
    """What was found. `files` counts those that were looked at; `exit_code` is 0 clean, 1 findings, 2 unreadable files.

    `unreadable` are the files that could not be read or parsed (WL901), the fixes that could not be carried out or
    written (WL902) and the rules that failed on a file (WL903). `fixed` are the findings that are there no more.
    """

    files: int
    diagnostics: tuple[Diagnostic, ...]
    unreadable: tuple[Diagnostic, ...]
    exit_code: int
    fixed: tuple[Diagnostic, ...] = ()


def lint(
    *paths: str | os.PathLike[str],
    fix: bool = False,
    unsafe_fixes: bool = False,
    select: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    torch_min: str | None = None,
    to: str | None = None,
) -> Lint:
    """Return what is wrong with how Python files and notebooks save and load weights. None of their code runs.

    `fix` carries out the safe fixes and, with `unsafe_fixes`, those that may change what a program does; a file is
    written whole or not at all. `select` and `ignore` take codes or their beginnings (`WL3`), `torch_min` the oldest
    torch that the code has to run with (2.6), `to="weightlift"` lets fixes use weightlift. What is not given is taken
    from `[tool.weightlift.lint]` of the nearest pyproject.toml.

    >>> import weightlift as wl
    >>> wl.lint("train.py").exit_code
    0

    Raises:
        WeightliftError: A path that is not there, a rule that there is not, a configuration that has no meaning.
        MissingDependencyError: Something is to be fixed and libcst is not installed.
    """
    asked = Asked(
        None if select is None else tuple(code.upper() for code in select),
        tuple(code.upper() for code in ignore),
        None if torch_min is None else version(torch_min),
        None if to is None else target(to),
    )
    closed: list[tuple[str, str]] = []
    found = Run(list(lint_targets(paths, Configurations(asked), closed)))
    for path, why in closed:
        found.broken(path, why)
    found.check()
    fixed: list[Diagnostic] = []
    if fix and any(diagnostic.fix for diagnostic in found.diagnostics):
        from .lint_fixes import fix_files

        fixed = fix_files(found, unsafe=unsafe_fixes)
    diagnostics = tuple(sorted(found.diagnostics, key=lambda each: each.place))
    code = 2 if found.unreadable else 1 if diagnostics else 0
    return Lint(len(found.targets), diagnostics, tuple(found.unreadable), code, tuple(fixed))


class Run:
    """The files of one call, and what is found in them."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets: dict[str, Configured] = dict(targets)
        self.project = Project(list(self.targets))
        self.diagnostics: list[Diagnostic] = []
        self.unreadable: list[Diagnostic] = []
        self.contents: dict[str, bytes] = {}
        """What was in the files with something to fix when they were looked at."""

    def check(self) -> None:
        """Look at every file."""
        for path in self.targets:
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError as error:
                self.broken(path, f"it cannot be read: {error.strerror}")
                continue
            found = self.check_file(path, data)
            if any(each.fix for each in found):
                self.contents[path] = data
            self.diagnostics += found

    def check_file(self, path: str, data: bytes) -> list[Diagnostic]:
        """Return what is found in a file of these bytes; one that cannot be parsed is put with the unreadable."""
        configured = self.targets[path]
        rules = configured.rules_for(path, data)
        if not rules:
            return []
        try:
            if path.endswith(".ipynb"):
                found = self._check_notebook(path, data, rules)
            else:
                found = check_file(SourceFile(path, data, configured.settings, self.project), rules)
            self.unreadable += [each for each in found if each.code == FAILED_RULE]
            return [each for each in found if each.code != FAILED_RULE]
        except SyntaxError as error:
            self.broken(path, f"it cannot be parsed: {error.msg}", error.lineno or 1, error.offset or 1)
        except (ValueError, RecursionError, MemoryError) as error:
            self.broken(path, f"it cannot be parsed: {error}")
        return []

    def broken(self, path: str, why: str, line: int = 1, column: int = 1, code: str = BROKEN_FILE) -> None:
        """Report a file that could not be looked at, or not be fixed."""
        place = (line, column, line, column)
        self.unreadable.append(Diagnostic(code, "broken-file", path, *place, why))

    def _check_notebook(self, path: str, data: bytes, rules: list[Rule]) -> list[Diagnostic]:
        from ..lints.notebooks import Notebook

        notebook = Notebook(data)
        file = SourceFile(path, notebook.source, self.targets[path].settings, self.project)
        return notebook.located(check_file(file, rules))
