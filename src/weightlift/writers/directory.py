"""A directory that is there whole or not at all, and stays there after a crash.

Order: temporary directory beside the target -> its files, each flushed -> itself flushed -> renamed -> parent
flushed. Where something has the name already, that is first renamed to `.NAME.old`, which is where readers look
when there is no NAME (`settled`), and deleted only after the new one is durable. After a crash at any point one
of the two names holds one whole directory; what else is left behind (`.NAME.*.part`, `.NAME.gone`) is cleared by
the next that writes or removes NAME.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import WriteError, shown
from .flushing import flush_folder, open_folder
from .leftovers import clear_leftovers, discard, gone_of, lock_folder, old_of
from .target import foreign_among, is_directory, make_ancestors, names_in, refuse_in_the_way, target_of

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
        WriteError: it is no directory, holds anything beside a checkpoint's own files, or cannot be removed.
    """
    target = target_of(path)
    parent, name = os.path.split(target)
    try:
        clear_leftovers(parent, name)
        old, gone = old_of(target), gone_of(target)
        if not os.path.lexists(target) and not os.path.lexists(old):
            return
        for each in (old, target):  # an older one first: readers would take it for the one that is removed
            if os.path.lexists(each):
                if not is_directory(each):
                    raise WriteError("is no directory", expected="a checkpoint", where=each)
                if foreign := foreign_among(names_in(each)):
                    told = f"cannot be removed: it holds {shown(foreign[0])}, which is no part of a checkpoint"
                    raise WriteError(told, remedy="move that elsewhere", where=each)
                os.rename(each, gone)
                flush_folder(parent)
                discard(gone)
    except OSError as error:
        raise WriteError(f"cannot be removed: {error.strerror or error}", where=os.fspath(path)) from None


class _Part:
    """A temporary directory, locked for as long as it is written, so that nobody takes it for abandoned."""

    def __init__(self, parent: str, name: str) -> None:
        self.fd = -1
        for _ in range(_LOCK_TRIES):
            self.path = os.path.join(parent, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.part")
            try:
                os.mkdir(self.path)
                self.fd = open_folder(self.path)
                self.identity = _identity(os.fstat(self.fd))
                if lock_folder(self.fd) is not False:
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
    old, gone = old_of(target), gone_of(target)
    done = False
    try:
        if is_directory(target) and names_in(target):
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
        if not os.path.lexists(target) and is_directory(old):
            os.rename(old, target)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
