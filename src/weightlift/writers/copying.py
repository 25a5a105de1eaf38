"""Bytes from a source into a file, by the kernel where they lie in a file as they are."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from ..errors import TruncatedError, WriteError
from ..sources import Source

_STEP = 1 << 22  # copied at once
_WINDOW = 1 << 23  # handed to the disk at once
_NOT_HERE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


def append_range(fd: int, source: Source, offset: int, nbytes: int) -> None:
    """Append bytes of a source at the descriptor's position."""
    located = source.file_range(offset, nbytes) if nbytes else None
    copied = _copy_in_kernel(fd, *located, nbytes) if located else 0
    for at in range(offset + copied, offset + nbytes, _STEP):
        write_all(fd, source.read_at(at, min(_STEP, offset + nbytes - at)))


def append_chunks(fd: int, chunks: Iterable[bytes | bytearray]) -> int:
    """Append chunks; return how many bytes they were."""
    written = 0
    for chunk in chunks:
        write_all(fd, chunk)
        written += len(chunk)
    return written


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write every byte, however few the system takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    _start_writeback(fd, len(data))


def _start_writeback(fd: int, written: int) -> None:
    """Have the disk begin on every window that is now full, so that the fsync at the end finds little left.

    Linux starts to write dirty pages that it is advised to drop; it drops only clean ones, of which there
    are none yet. Left alone, it starts on next to nothing before the fsync, which then takes as long as
    the copying did.
    """
    if hasattr(os, "posix_fadvise"):
        end = os.lseek(fd, 0, os.SEEK_CUR)
        begun, full = (end - written) // _WINDOW * _WINDOW, end // _WINDOW * _WINDOW
        if full > begun:
            os.posix_fadvise(fd, begun, full - begun, os.POSIX_FADV_DONTNEED)


def _copy_in_kernel(fd: int, source_fd: int, offset: int, nbytes: int) -> int:
    """Return how many bytes the kernel copied: all of them, or 0 where it cannot."""
    copied = 0
    while copied < nbytes:
        try:
            got = _kernel_copy(fd, source_fd, offset + copied, nbytes - copied)
        except OSError as error:
            if copied == 0 and error.errno in _NOT_HERE:
                return 0
            raise WriteError(f"copying failed: {error.strerror}") from None
        if got == 0:
            raise TruncatedError(f"the file shrank while it was read: byte {offset + copied} is gone")
        copied += got
        _start_writeback(fd, got)
    return copied


def _kernel_copy(fd: int, source_fd: int, offset: int, nbytes: int) -> int:
    if hasattr(os, "copy_file_range"):
        return os.copy_file_range(source_fd, fd, min(nbytes, _STEP), offset_src=offset)
    raise OSError(errno.ENOSYS, "no copy_file_range")
