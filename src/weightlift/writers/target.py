"""Where a directory is to be written: its real path, and what may not be in its way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from ..errors import WriteError, shown
from .flushing import flush_folder
from .manifest import BEGIN, MANIFEST, is_own_name


def target_of(path: str | os.PathLike[str]) -> str:
    """Return the real path of a directory to be written, a symbolic link followed.

    Raises:
        WriteError: no name that a directory can have.
    """
    given = os.fspath(path)
    if not isinstance(given, str) or not given or "\0" in given:
        raise WriteError("no name for a directory", expected="a path", where=str(given))
    real = os.path.realpath(given)
    if not os.path.basename(real):
        raise WriteError("is the root of the file system", expected="a directory to write", where=given)
    if len(os.fsencode(os.path.basename(real))) > 200:
        raise WriteError("the name is too long", expected="at most 200 bytes", where=given)
    return real


def refuse_in_the_way(target: str) -> None:
    """Refuse to put a directory in the place of anything but a checkpoint or an empty directory.

    Raises:
        WriteError: what is there instead, or it would be inside of a checkpoint, which nothing else may be in.
    """
    parent = os.path.dirname(target)
    while not os.path.isdir(parent):
        parent = os.path.dirname(parent)
    if is_checkpoint(parent):
        raise WriteError(
            f"would be inside of the checkpoint {os.path.basename(parent)}, and damage it",
            expected="a directory beside it",
            where=target,
        )
    if not os.path.lexists(target):
        return
    if not is_directory(target):
        raise WriteError("is a file", expected="the name of a directory", remedy="take another name", where=target)
    if os.path.ismount(target):
        raise WriteError("is a mount point", expected="a directory in it", remedy="add a name to it", where=target)
    try:
        names = names_in(target)
    except OSError as error:
        raise WriteError(f"cannot be replaced: {error.strerror or error}", where=target) from None
    foreign = foreign_among(names)
    if foreign or (names and MANIFEST not in names):
        held = f"holds {shown(foreign[0])}" if foreign else f"holds no {MANIFEST}"
        raise WriteError(
            f"is a directory that {held}", expected="a checkpoint, or nothing", remedy="take another name", where=target
        )


def foreign_among(names: Iterable[str]) -> list[str]:
    """Return the names that are not those of a checkpoint's own files."""
    return sorted(name for name in names if not is_own_name(name))


def is_checkpoint(folder: str) -> bool:
    """Whether a directory has a manifest of ours, of any version."""
    try:
        with open(os.path.join(folder, MANIFEST), "rb", opener=at_once) as file:
            return file.read(len(BEGIN)) == BEGIN
    except OSError:
        return False


def at_once(path: str, flags: int) -> int:
    """Open a file that may be a pipe, without waiting for its other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def make_ancestors(parent: str, made: list[str]) -> None:
    """Make a directory and those above that are missing, each durable in the one that holds it; enter them in `made`.

    Raises:
        OSError: one cannot be made.
    """
    missing: list[str] = []
    while not os.path.isdir(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            continue
        made.append(folder)
        flush_folder(os.path.dirname(folder))


def names_in(folder: str) -> list[str]:
    """Return what is in a directory; nothing where there is none."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def is_directory(path: str) -> bool:
    """Whether a directory is there itself, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
