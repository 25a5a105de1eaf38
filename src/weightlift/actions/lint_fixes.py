"""Fixes carried out on files: in memory until nothing is left to fix, then each file written whole, or none of a group.

A save and the loads of what it writes may be in several files: these are written together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from ..errors import MissingDependencyError, WeightliftError
from ..lints.fixing import choose, edits_by_path, libcst, rewritten
from ..lints.notebooks import Notebook
from ..lints.table import UNFIXED_FILE
from ..lints.values import Diagnostic, Edit
from ..typed import TYPE_CHECKING
from ..writers.atomic import atomic_file
from ..writers.copying import write_all

if TYPE_CHECKING:
    from .lint import Run

_ROUNDS = 10
"""A fix may make room for another; more rounds than this go round in a circle."""


def fix_files(run: Run, *, unsafe: bool) -> list[Diagnostic]:
    """Carry out the fixes of a run and return the findings that are gone; `run.diagnostics` are those that are left."""
    libcst()
    fixed: list[Diagnostic] = []
    for paths in _groups(run.diagnostics):
        before = [each for each in run.diagnostics if each.path in paths]
        broken = len(run.unreadable)
        try:
            gone, left = _fix_group(run, paths, before, unsafe=unsafe)
        except MissingDependencyError:
            raise
        except (WeightliftError, ValueError, OSError) as error:
            del run.unreadable[broken:]
            for path in sorted(paths):
                run.broken(path, f"it is not fixed and stays as it is: {error}", code=UNFIXED_FILE)
            continue
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


def _fix_group(
    run: Run, paths: set[str], diagnostics: list[Diagnostic], *, unsafe: bool
) -> tuple[list[Diagnostic], list[Diagnostic]]:
    """Return what is fixed and what is left in some files, which are written."""
    old = {path: _read(path) for path in sorted(paths)}
    new = dict(old)
    gone: list[Diagnostic] = []
    for _ in range(_ROUNDS):
        chosen = choose(diagnostics, unsafe=unsafe)
        if not chosen:
            break
        for path, edits in edits_by_path(chosen).items():
            new[path] = _edited(path, new[path], edits)
        gone += chosen
        broken = len(run.unreadable)
        run.project.overlay(new)
        diagnostics = [each for path in new for each in run.check_file(path, new[path])]
        if len(run.unreadable) > broken:
            raise WeightliftError(f"the fixed file would not parse: {run.unreadable[-1].message}")
    else:
        raise WeightliftError(f"after {_ROUNDS} rounds of fixes there is still something to fix")
    _write(old, {path: data for path, data in new.items() if data != old[path]})
    return gone, diagnostics


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
