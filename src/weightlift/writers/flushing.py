"""Bytes that are on the disk, and directories whose entries are. An error here is final: nothing is tried again."""

from __future__ import annotations

import errno
import os

_NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def flush(fd: int) -> None:
    """Return when everything written to a file is on the disk, past the cache of the drive on macOS too.

    Raises:
        OSError: it is not. The system may have dropped what was written, so a second call could succeed and
        mean nothing (https://wiki.postgresql.org/wiki/Fsync_Errors): the file has to be given up.
    """
    try:
        from fcntl import F_FULLFSYNC, fcntl  # type: ignore[attr-defined,unused-ignore]
    except ImportError:
        os.fsync(fd)
        return
    try:
        fcntl(fd, F_FULLFSYNC)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOTTY):
            raise
        os.fsync(fd)


def flush_folder(path: str) -> None:
    """Return when the names in a directory are on the disk. File systems that know no such call are let be.

    Raises:
        OSError: the disk failed.
    """
    fd = open_folder(path)
    try:
        flush(fd)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(fd)


def open_folder(path: str) -> int:
    """Return a descriptor of a directory, which stays this one whatever becomes of its name.

    Raises:
        OSError: there is none.
    """
    return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
