"""What crashes leave beside a checkpoint directory: how it is called, where readers look, and what clears it.

`.NAME.old` was replaced and may be the only whole one; `.NAME.gone` is being deleted; `.NAME.PID-RANDOM.part` is
being written, or was.
"""

from __future__ import annotations

import os
from contextlib import suppress

from ..errors import WriteError
from .flushing import flush_folder, open_folder
from .manifest import MANIFEST, is_own_name
from .target import is_directory, names_in, target_of


def settled(path: str | os.PathLike[str]) -> str:
    """Return where the whole directory of that name is: `path`, or what a crash left in `.NAME.old` beside it."""
    given = os.fspath(path)
    if os.path.lexists(given):
        return given
    try:
        old = old_of(target_of(given))
    except WriteError:
        return given
    return old if is_directory(old) else given


def clear_leftovers(folder: str, name: str | None = None) -> None:
    """Delete what crashes left behind of one name, or of all in a folder; never what another is still writing."""
    found = [(*leftover(entry), os.path.join(folder, entry)) for entry in names_in(folder)]
    found = [each for each in found if each[1] and (name is None or each[0] == name) and is_directory(each[2])]
    for owner, kind, where in sorted(found, key=lambda each: each[1]):  # what is gone before what is old
        with suppress(OSError):  # what cannot be deleted may well be in nobody's way
            if kind == "gone":
                discard(where)
            elif kind == "part":
                _discard_abandoned(where)
            elif is_directory(target := os.path.join(folder, owner)):
                os.rename(where, gone_of(target))  # at once: one that is half deleted must not be found under its name
                flush_folder(folder)
                discard(gone_of(target))


def discard(folder: str) -> None:
    """Delete a checkpoint directory and nothing else; first the file that makes it one.

    Raises:
        OSError: it holds something else, or cannot be deleted.
    """
    for name in sorted(names_in(folder), key=lambda each: each != MANIFEST):
        if is_own_name(name):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
    with suppress(FileNotFoundError):
        os.rmdir(folder)


def _discard_abandoned(part: str) -> None:
    """Delete a temporary directory that nobody holds the lock of; one whose lock cannot be asked for stays."""
    try:
        fd = open_folder(part)
    except OSError:
        return
    try:
        if lock_folder(fd):
            discard(part)
    finally:
        os.close(fd)


def lock_folder(fd: int) -> bool | None:
    """Lock a directory for this descriptor: True, False where another has it, None where the system has no locks."""
    try:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def leftover(entry: str) -> tuple[str, str]:
    """Return the name that an entry of a directory is left of, and its kind: "old", "gone", "part"; else ("", "")."""
    stem, _, suffix = entry.rpartition(".")
    if not stem.startswith(".") or suffix not in ("old", "gone", "part"):
        return "", ""
    if suffix != "part":
        return stem[1:], suffix
    owner, _, token = stem[1:].rpartition(".")
    pid, _, random = token.partition("-")
    return (owner, suffix) if owner and pid.isdecimal() and len(random) == 8 else ("", "")


def old_of(target: str) -> str:
    """Return where what has a name is kept while it is replaced."""
    parent, name = os.path.split(target)
    return os.path.join(parent, f".{name}.old")


def gone_of(target: str) -> str:
    """Return where what has a name is while it is deleted."""
    parent, name = os.path.split(target)
    return os.path.join(parent, f".{name}.gone")
