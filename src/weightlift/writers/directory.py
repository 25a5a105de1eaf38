"""A directory that is there whole or not at all, and stays there after a crash.

Order: temporary directory beside the target -> its files, each flushed -> itself flushed -> renamed -> parent
flushed. Where something has the name already, that is first renamed to `.NAME.old`, which is where readers look
when there is no NAME (`settled`), and deleted only after the new one is durable. After a crash at any point one
of the two names holds one whole directory; what else is left behind (`.NAME.*.part`, `.NAME.gone`) is cleared by
the next that writes or removes NAME.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import WriteError, shown
from .flushing import flush_folder
from .manifest import BEGIN, MANIFEST, is_own_name

_LOCK_TRIES = 8


@contextmanager
def durable_directory(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a new, empty directory that becomes `path` when the block ends without an error.

    Files in it must be flushed by the block; the directory, the rename and new ancestors are flushed here.
    What has the name already is replaced if it is a checkpoint and nothing else, or empty. After an error, an
    interrupt too, nothing new is left and the older directory is at its name, untouched.

    Raises:
        WriteError: something else is in the way, no permission, a full disk, a failing one.
    """
    target = target_of(path)
    parent, name = os.path.split(target)
    made: list[str] = []
    part: _Part | None = None
    try:
        refuse_in_the_way(target)
        make_ancestors(parent, made)
        clear_leftovers(parent, name)
        part = _Part(parent, name)
        yield part.path
        flush_folder(part.path)
        refuse_in_the_way(target)  # it may have come in the meantime
        _take_the_name(part, target)
        made.clear()
    except OSError as error:
        raise WriteError(f"cannot be written: {error.strerror or error}", where=os.fspath(path)) from None
    finally:
        if part is not None:
            part.close()
        for folder in reversed(made):
            with suppress(OSError):
                os.rmdir(folder)


def remove_directory(path: str | os.PathLike[str]) -> None:
    """Remove a directory so that after a crash it is there whole or not at all. One that is not there is fine.

    Raises:
        WriteError: it is no directory, or cannot be removed.
    """
    target = target_of(path)
    parent, name = os.path.split(target)
    try:
        clear_leftovers(parent, name)
        old, gone = _old(target), _gone(target)
        if not os.path.lexists(target) and not os.path.lexists(old):
            return
        for each in (old, target):  # an older one first: readers would take it for the one that is removed
            if os.path.lexists(each):
                if not _is_directory(each):
                    raise WriteError("is no directory", expected="a checkpoint", where=each)
                os.rename(each, gone)
                flush_folder(parent)
                discard(gone)
    except OSError as error:
        raise WriteError(f"cannot be removed: {error.strerror or error}", where=os.fspath(path)) from None


def settled(path: str | os.PathLike[str]) -> str:
    """Return where the whole directory of that name is: `path`, or what a crash left in `.NAME.old` beside it."""
    given = os.fspath(path)
    if os.path.lexists(given):
        return given
    try:
        old = _old(target_of(given))
    except WriteError:
        return given
    return old if _is_directory(old) else given


def clear_leftovers(folder: str, name: str | None = None) -> None:
    """Delete what crashes left behind of one name, or of all in a folder; never what another is still writing."""
    found = [(*_leftover(entry), os.path.join(folder, entry)) for entry in _names(folder)]
    found = [each for each in found if each[1] and (name is None or each[0] == name) and _is_directory(each[2])]
    for owner, kind, where in sorted(found, key=lambda each: each[1]):  # what is gone before what is old
        with suppress(OSError):  # what cannot be deleted may well be in nobody's way
            if kind == "gone":
                discard(where)
            elif kind == "part":
                _discard_abandoned(where)
            elif _is_directory(target := os.path.join(folder, owner)):
                os.rename(where, _gone(target))  # at once: one that is half deleted must not be found under its name
                flush_folder(folder)
                discard(_gone(target))


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
    if not _is_directory(target):
        raise WriteError("is a file", expected="the name of a directory", remedy="take another name", where=target)
    if os.path.ismount(target):
        raise WriteError("is a mount point", expected="a directory in it", remedy="add a name to it", where=target)
    try:
        names = _names(target)
    except OSError as error:
        raise WriteError(f"cannot be replaced: {error.strerror or error}", where=target) from None
    foreign = sorted(name for name in names if not is_own_name(name))
    if foreign or (names and MANIFEST not in names):
        held = f"holds {shown(foreign[0])}" if foreign else f"holds no {MANIFEST}"
        raise WriteError(
            f"is a directory that {held}", expected="a checkpoint, or nothing", remedy="take another name", where=target
        )


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


def discard(folder: str) -> None:
    """Delete a checkpoint directory and nothing else; first the file that makes it one.

    Raises:
        OSError: it holds something else, or cannot be deleted.
    """
    for name in sorted(_names(folder), key=lambda each: each != MANIFEST):
        if is_own_name(name):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
    with suppress(FileNotFoundError):
        os.rmdir(folder)


class _Part:
    """A temporary directory, locked for as long as it is written, so that nobody takes it for abandoned."""

    def __init__(self, parent: str, name: str) -> None:
        self.fd = -1
        for _ in range(_LOCK_TRIES):
            self.path = os.path.join(parent, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.part")
            try:
                os.mkdir(self.path)
                self.fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
                self.identity = _identity(os.fstat(self.fd))
                if _lock(self.fd) is not False:
                    return
            except FileNotFoundError:
                if not os.path.isdir(parent):
                    raise
            except BaseException:
                self.close()
                raise
            self.close()  # one that clears leftovers was quicker than the lock
        raise WriteError("temporary directories are deleted while they are made", where=parent)

    def is_at(self, path: str) -> bool:
        """Whether this directory is what has that name."""
        try:
            return _identity(os.lstat(path)) == self.identity
        except OSError:
            return False

    def close(self) -> None:
        """Delete it where it still has its temporary name; unlock it."""
        fd, self.fd = self.fd, -1
        with suppress(OSError):
            if os.path.isdir(self.path):
                discard(self.path)
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)


def _take_the_name(part: _Part, target: str) -> None:
    """Rename the new directory, with the older one kept aside until the new one is durable."""
    parent = os.path.dirname(target)
    old, gone = _old(target), _gone(target)
    done = False
    try:
        if _is_directory(target) and _names(target):
            if os.path.lexists(old):
                raise WriteError(
                    f"{os.path.basename(old)} is in the way",
                    expected="none: another process writes here, or it cannot be deleted",
                    remedy="let the other end, or remove it",
                    where=target,
                )
            os.rename(target, old)
            flush_folder(parent)
        os.rename(part.path, target)
        flush_folder(parent)
        done = True
    finally:
        if not done:
            _give_the_name_back(part, target, old)
    if os.path.lexists(old):
        with suppress(OSError):  # the new one is there; the next to write here clears what is left
            os.rename(old, gone)
            discard(gone)


def _give_the_name_back(part: _Part, target: str, old: str) -> None:
    """Put everything where it was: the new one back to its temporary name, the older one back to its own."""
    with suppress(OSError):
        if part.is_at(target):
            os.rename(target, part.path)
    with suppress(OSError):
        if not os.path.lexists(target) and _is_directory(old):
            os.rename(old, target)


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


def _discard_abandoned(part: str) -> None:
    """Delete a temporary directory that nobody holds the lock of; one whose lock cannot be asked for stays."""
    try:
        fd = os.open(part, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:
        return
    try:
        if _lock(fd):
            discard(part)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool | None:
    """Lock a directory for this descriptor: True, False where another has it, None where the system has no locks."""
    try:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _leftover(entry: str) -> tuple[str, str]:
    """Return the name that a leftover belongs to and its kind: "old", "gone", "part", or ("", "")."""
    stem, _, suffix = entry.rpartition(".")
    if not stem.startswith(".") or suffix not in ("old", "gone", "part"):
        return "", ""
    if suffix != "part":
        return stem[1:], suffix
    owner, _, token = stem[1:].rpartition(".")
    pid, _, random = token.partition("-")
    return (owner, suffix) if owner and pid.isdecimal() and len(random) == 8 else ("", "")


def _old(target: str) -> str:
    parent, name = os.path.split(target)
    return os.path.join(parent, f".{name}.old")


def _gone(target: str) -> str:
    parent, name = os.path.split(target)
    return os.path.join(parent, f".{name}.gone")


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
