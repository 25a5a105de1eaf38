"""Fixes carried out on files: in memory until nothing is left to fix, then each file written whole, or none of a group.

A save and the loads of what it writes may be in several files: these are written together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from ..errors import MissingDependencyError, WeightliftError
from ..lints.fixing import choose, edits_by_path, libcst, rewritten
from ..lints.notebooks import Notebook
from ..lints.table import BROKEN_FILE, UNFIXED_FILE
from ..lints.values import Diagnostic, Edit
from ..typed import TYPE_CHECKING, TypeAlias
from ..values import replace
from ..writers.atomic import atomic_file
from ..writers.copying import write_all

if TYPE_CHECKING:
    from .lint import Run

Key: TypeAlias = tuple[str, int, str, str, bytes]
_ROUNDS = 10
"""A fix may make room for another; more rounds than this go round in a circle."""


def fix_files(run: Run, *, unsafe: bool) -> list[Diagnostic]:
    """Carry out the fixes of a run and return the findings that are gone; `run.diagnostics` are those that are left.

    A fix that cannot be carried out is left out and told; a file that cannot be written stays as it is.
    """
    libcst()
    fixed: list[Diagnostic] = []
    for paths in _groups(run.diagnostics):
        before = [each for each in run.diagnostics if each.path in paths]
        unreadable = list(run.unreadable)
        group = None
        try:
            group = _Group(run, paths, before, unsafe=unsafe)
            gone, left = group.fix()
        except MissingDependencyError:
            raise
        except (WeightliftError, ValueError, OSError) as error:
            run.unreadable[:] = unreadable
            if group is not None:
                run.project.overlay(group.old)
            for path in sorted(paths):
                run.broken(path, f"it is not fixed and stays as it is: {_reason(error)}", code=UNFIXED_FILE)
            continue
        run.unreadable[:] = unreadable + group.told(left)
        fixed += gone
        run.diagnostics = [each for each in run.diagnostics if each.path not in paths] + left
    return fixed


def _groups(diagnostics: Iterable[Diagnostic]) -> list[set[str]]:
    """Return the files with fixes, those together that one fix changes together."""
    groups: list[set[str]] = []
    for diagnostic in diagnostics:
        if diagnostic.fix is None:
            continue
        paths = {diagnostic.path, *(edit.path for edit in diagnostic.fix.edits if edit.path)}
        joined = [group for group in groups if group & paths]
        groups = [group for group in groups if not group & paths]
        groups.append(paths.union(*joined))
    return groups


class _Group:
    """Some files that are fixed together: their bytes as they are, the fixes that could not be carried out, and why."""

    def __init__(self, run: Run, paths: set[str], diagnostics: list[Diagnostic], *, unsafe: bool) -> None:
        self.old = {path: run.contents.get(path) or _read(path) for path in sorted(paths)}
        self._run = run
        self._unsafe = unsafe
        self._diagnostics = diagnostics
        self._refused: dict[Key, Exception] = {}

    def fix(self) -> tuple[list[Diagnostic], list[Diagnostic]]:
        """Return what is fixed and what is left in the files, which are written.

        Raises:
            WeightliftError: No fix can be carried out, or a file cannot be written; none is changed.
        """
        new, gone, left = self._as_far_as_possible()
        _write(self.old, {path: data for path, data in new.items() if data != self.old[path]})
        return gone, left

    def told(self, left: list[Diagnostic]) -> list[Diagnostic]:
        """Return a diagnostic for each finding that is left for want of a fix that can be carried out."""
        data = {path: _read(path) for path in self.old}
        made = []
        for each in left:
            error = self._refused.get(_key(each, data[each.path]))
            if error is not None and each.fix is not None:
                why = f"the fix of {each.code} cannot be carried out: {_reason(error)}"
                made.append(replace(each, code=UNFIXED_FILE, name="unfixed", message=why, fix=None))
        return made

    def _as_far_as_possible(self) -> tuple[dict[str, bytes], list[Diagnostic], list[Diagnostic]]:
        """Return the files with all fixes, or if that fails with all but those that it fails for, by halves."""
        waiting = [{_key(each, self.old[each.path]) for each in self._diagnostics if each.fix is not None}]
        refused_at_first = None
        done = None
        taken: set[Key] = set()
        while waiting:
            some = waiting.pop()
            try:
                done = self._carried_out(taken | some, everything=refused_at_first is None)
                taken |= some
            except (WeightliftError, ValueError) as error:
                if refused_at_first is None:
                    refused_at_first = error
                    for path, data in self.old.items():
                        _edited(path, data, [])  # where this fails already, every fix does
                if len(some) == 1:
                    self._refused[some.pop()] = error
                    continue
                ordered = sorted(some)
                middle = len(ordered) // 2
                waiting += [set(ordered[middle:]), set(ordered[:middle])]
        if done is None and refused_at_first is not None:
            raise refused_at_first
        return done or (dict(self.old), [], self._diagnostics)

    def _carried_out(
        self, keys: set[Key], *, everything: bool
    ) -> tuple[dict[str, bytes], list[Diagnostic], list[Diagnostic]]:
        """Return the files after rounds of fixes, with what is gone and what is left; nothing is written.

        `keys` are the findings to be fixed, with `everything` also what a fix makes room for.
        """
        run, new, diagnostics = self._run, dict(self.old), self._diagnostics
        run.project.overlay(new)
        gone: list[Diagnostic] = []
        for _ in range(_ROUNDS):
            wanted = [each for each in diagnostics if everything or _key(each, new[each.path]) in keys]
            chosen = choose(wanted, unsafe=self._unsafe)
            if not chosen:
                return new, gone, diagnostics
            for path, edits in edits_by_path(chosen).items():
                new[path] = _edited(path, new[path], edits)
            gone += chosen
            broken = len(run.unreadable)
            run.project.overlay(new)
            diagnostics = [each for path in new for each in run.check_file(path, new[path])]
            unparsed = [each for each in run.unreadable[broken:] if each.code == BROKEN_FILE]
            if unparsed:
                raise WeightliftError(f"the fixed file would not parse: {unparsed[0].message}")
        raise WeightliftError(f"after {_ROUNDS} rounds of fixes there is still something to fix")


def _key(diagnostic: Diagnostic, data: bytes) -> Key:
    """Return what tells a finding from others also when lines above it have moved: rule and text of the line."""
    text = b""
    if diagnostic.cell is None:
        lines = data.splitlines()
        text = lines[diagnostic.line - 1].strip() if diagnostic.line <= len(lines) else b""
    return diagnostic.path, diagnostic.cell or 0, diagnostic.code, diagnostic.message, text


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _edited(path: str, data: bytes, edits: list[Edit]) -> bytes:
    if path.endswith(".ipynb"):
        notebook = Notebook(data)
        return notebook.with_source(rewritten(notebook.source, edits))
    return rewritten(data, edits)


def _write(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> None:
    """Write files beside and rename them; where one cannot be, those before it are given back what they held.

    Raises:
        WeightliftError: A file is not what it was when it was checked, or cannot be written.
    """
    for path in new:
        if _read(path) != old[path]:
            raise WeightliftError("another program has changed it meanwhile", where=path)
    try:
        with ExitStack() as files:
            for path, data in new.items():
                write_all(files.enter_context(atomic_file(path)), data)
    except BaseException:
        for path in new:
            if _read(path) != old[path]:
                with atomic_file(path) as fd:
                    write_all(fd, old[path])
        raise


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
