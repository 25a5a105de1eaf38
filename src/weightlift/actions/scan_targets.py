"""Which files a scan looks at: those that are named, and everything under the folders that are."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from ..scans.values import Scanned
from ..values import dataclass, field
from .scan_file import CHECKPOINT_SUFFIXES, unreadable


@dataclass(frozen=True, slots=True)
class Target:
    """One file to look at; `asked` where it was named and did not just lie in a folder."""

    path: str
    asked: bool


@dataclass(slots=True)
class Targets:
    """The files in the order of their report, and what there is to say of the rest."""

    found: list[Target | Scanned] = field(default_factory=list)
    """What cannot be looked at stands among them as the verdict that it gets."""
    special: int = 0
    """Pipes, sockets and devices in folders, and names of nothing: not opened."""


def targets(paths: Iterable[str | os.PathLike[str]]) -> Targets:
    """Return what there is to scan, each path once: named files first in their order, folders sorted by name.

    Links are followed, and every folder is entered once, so that no loop of links is endless. Nothing is opened.
    """
    made = Targets()
    entered: set[tuple[int, int]] = set()
    seen: set[str] = set()
    for given in paths:
        for target in _of_named(os.fsdecode(given), entered, made):
            if target.path not in seen:
                seen.add(target.path)
                made.found.append(target)
    return made


def _of_named(path: str, entered: set[tuple[int, int]], made: Targets) -> Iterator[Target | Scanned]:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        yield unreadable(path, "source", _reason(error))
        return
    if stat.S_ISDIR(mode):
        yield from _of_folder(path, entered, made)
    elif stat.S_ISREG(mode):
        yield Target(path, asked=True)
    else:
        yield unreadable(path, "source", "not a regular file")


def _of_folder(top: str, entered: set[tuple[int, int]], made: Targets) -> Iterator[Target | Scanned]:
    """Yield the files under a folder, a folder's own before those of the folders in it; without recursion."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            about = os.stat(folder)
            if (about.st_dev, about.st_ino) in entered:
                continue
            entered.add((about.st_dev, about.st_ino))
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            yield unreadable(folder, "folder", f"the folder cannot be listed: {_reason(error)}")
            continue
        inner = []
        for entry in entries:
            try:
                if entry.is_dir():
                    inner.append(entry.path)
                elif entry.is_file():
                    yield Target(entry.path, asked=False)
                elif entry.is_symlink() and entry.name.lower().endswith(CHECKPOINT_SUFFIXES):
                    yield unreadable(entry.path, "source", "a link that leads to no file")
                else:
                    made.special += 1
            except OSError as error:
                yield unreadable(entry.path, "source", _reason(error))
        waiting += reversed(inner)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return getattr(error, "strerror", None) or str(error)
