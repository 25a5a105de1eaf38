"""One writer to a directory: a lock that ends with its process, however that ends.

The kernel holds it (`fcntl.lockf` on `.lock`, which works over NFS too), so no dead process leaves one behind.
Such a lock does not keep two stores of one process apart, and a forked child does not have it; a table
of what this process holds sees to both.
"""

from __future__ import annotations

import errno
import logging
import os
from contextlib import suppress

from ..errors import StoreError, StoreLockedError, printable

NAME = ".lock"
_HELD: dict[tuple[str, int], object] = {}
"""(real path, pid) -> the mark of the lock that has it. What a fork inherits has another pid."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class DirectoryLock:
    """The right to write to `folder`, from `take` to `release`, or until this object or its process ends."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd = -1
        self._key: tuple[str, int] | None = None
        self._mark = object()  # not the lock itself, which the table would keep alive

    @property
    def held(self) -> bool:
        """Whether this process has it, and the file that it is on is still the one in the folder."""
        if self._key is None or self._key[1] != os.getpid():
            return False
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(os.path.join(self._folder, NAME)))
        except OSError:
            return False

    def take(self) -> bool:
        """Take it; True where it was not held already.

        Raises:
            StoreLockedError: another process, or another store of this one, has it.
            StoreError: the folder is not writable.
        """
        if self.held:
            return False
        self.release()
        key = (os.path.realpath(self._folder), os.getpid())
        if _HELD.setdefault(key, self._mark) is not self._mark:
            raise StoreLockedError(
                f"another CheckpointStore of this process (pid {key[1]}) writes here",
                remedy="use that one, or close() it first",
                where=self._folder,
            )
        try:
            self._fd = self._locked()
        except BaseException:
            _HELD.pop(key, None)
            raise
        self._key = key
        return True

    def _locked(self) -> int:
        path = os.path.join(self._folder, NAME)
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            except OSError as error:
                raise StoreError(
                    f"cannot be locked for writing: {error.strerror}",
                    remedy="load() and list() need no lock",
                    where=self._folder,
                ) from None
            try:
                self._lock(fd)
                if _is_at(fd, path):  # a holder that cleared the folder may have removed it in between
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _lock(self, fd: int) -> None:
        import fcntl

        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise StoreLockedError(
                    f"{_holder(fd)} writes here",
                    remedy="wait for it, end it, or use another directory",
                    where=self._folder,
                ) from None
            if error.errno not in _NO_LOCKS:
                raise StoreError(f"cannot be locked: {error.strerror}", where=self._folder) from None
            logging.getLogger("weightlift").warning(
                "%s: this file system has no locks; a second process that writes here would not be noticed",
                self._folder,
            )
        with suppress(OSError):  # who holds it is a courtesy; a full disk is told by the save
            os.pwrite(fd, f"{os.getpid()} {_host()}\n".encode().ljust(80), 0)

    def release(self) -> None:
        """Give it up. In a forked child only its copy of the descriptor is closed; the parent keeps the lock."""
        fd, self._fd = self._fd, -1
        key, self._key = self._key, None
        if key is not None and _HELD.get(key) is self._mark:
            del _HELD[key]
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be half gone
            self.release()


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _holder(fd: int) -> str:
    with suppress(OSError, ValueError):
        pid, host = os.pread(fd, 200, 0).decode("utf-8", "replace").split()
        return f"process {int(pid)} on {printable(host)}"
    return "another process"


def _host() -> str:
    return (os.uname().nodename if hasattr(os, "uname") else "") or "localhost"
