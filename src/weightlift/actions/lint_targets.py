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


def lint_targets(paths: Iterable[str | os.PathLike[str]], configurations: Configurations) -> Iterator[Target]:
    """Yield each file once with its settings: named ones in their order, those of folders sorted by name.

    What is named is looked at whatever is excluded. Links to folders are not followed.

    Raises:
        WeightliftError: A pyproject.toml that has no meaning, or a path that is not there.
    """
    seen: set[str] = set()
    for given in paths:
        path = os.fsdecode(given)
        if os.path.isdir(path):
            found: Iterable[Target] = _under(path, configurations)
        elif os.path.exists(path):
            found = [(path, configurations.of(os.path.dirname(path)))]
        else:
            raise WeightliftError("no such file or folder", where=path)
        for target in found:
            if target[0] not in seen:
                seen.add(target[0])
                yield target


def _under(top: str, configurations: Configurations) -> Iterator[Target]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            raise WeightliftError(f"the folder cannot be listed: {error.strerror}", where=folder) from None
        configured = configurations.of(folder)
        inner = []
        for entry in entries:
            name = entry.name
            path = name if folder == "." else entry.path
            if name.endswith(_SUFFIXES):
                if entry.is_file() and not configured.excludes(path):
                    yield path, configured
            elif name[0] == "." or name in _PASSED_OVER or not entry.is_dir(follow_symlinks=False):
                continue
            elif not configured.excludes(path) and not os.path.exists(os.path.join(path, "pyvenv.cfg")):
                inner.append(path)
        waiting += reversed(inner)
