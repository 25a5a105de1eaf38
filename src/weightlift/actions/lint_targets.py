"""Which files lint looks at: those that are named, and the Python files and notebooks under the folders that are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ..errors import WeightliftError
from ..lints.config import Configurations, Configured

_SUFFIXES = (".py", ".ipynb")
_PASSED_OVER = frozenset({
    "__pycache__", "__pypackages__", "_build", "build", "dist", "node_modules", "site-packages", "venv",
})  # fmt: skip
"""Folders that hold what others wrote or what was made from the source; those with a dot in front too."""

Target = tuple[str, Configured]


def lint_targets(
    paths: Iterable[str | os.PathLike[str]], configurations: Configurations, closed: list[tuple[str, str]]
) -> Iterator[Target]:
    """Yield each file once with its settings: named ones in their order, those of folders sorted by name.

    What is named is looked at whatever is excluded. Links to folders are not followed. Folders that cannot be listed
    are put into `closed`, each with the reason.

    Raises:
        WeightliftError: A pyproject.toml that has no meaning, or a path that is not there or is no file.
    """
    seen: set[str] = set()
    for given in paths:
        path = os.fsdecode(given)
        if os.path.isdir(path):
            found: Iterable[Target] = _under(path, configurations, closed)
        elif os.path.isfile(path):
            found = [(path, configurations.of(os.path.dirname(path)))]
        elif os.path.exists(path):
            raise WeightliftError("is no regular file", where=path)
        else:
            raise WeightliftError("no such file or folder", where=path)
        for target in found:
            if target[0] not in seen:
                seen.add(target[0])
                yield target


def _under(top: str, configurations: Configurations, closed: list[tuple[str, str]]) -> Iterator[Target]:
    waiting = [top]
    real = os.path.join(os.path.realpath(top), "")
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            closed.append((folder, f"the folder cannot be listed: {error.strerror}"))
            continue
        configured = configurations.of(folder)
        inner = []
        for entry in entries:
            name = entry.name
            path = name if folder == "." else entry.path
            if name.endswith(_SUFFIXES) and _is_file(entry):
                if entry.is_symlink() and os.path.realpath(path).startswith(real):
                    continue  # it is looked at where it stands
                if not configured.excludes(path):
                    yield path, configured
            elif name[0] == "." or name in _PASSED_OVER or not entry.is_dir(follow_symlinks=False):
                continue
            elif not configured.excludes(path) and not os.path.exists(os.path.join(path, "pyvenv.cfg")):
                inner.append(path)
        waiting += reversed(inner)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a file, or a link to one."""
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False
