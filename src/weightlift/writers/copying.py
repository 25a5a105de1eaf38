"""Bytes from a source into a file, as fast as the disk takes them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..sources import Source

_STEP = 1 << 20  # copied at once: through memory, since tensors begin anywhere and the kernel splices whole pages
_WINDOW = 1 << 23  # handed to the disk at once


def append_range(fd: int, source: Source, offset: int, nbytes: int) -> None:
    """Append bytes of a source at the descriptor's position."""
    for at in range(offset, offset + nbytes, _STEP):
        write_all(fd, source.view_at(at, min(_STEP, offset + nbytes - at)))


def append_chunks(fd: int, chunks: Iterable[bytes | bytearray | memoryview]) -> int:
    """Append chunks; return how many bytes they were."""
    written = 0
    for chunk in chunks:
        write_all(fd, chunk)
        written += len(chunk)
    return written


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
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
