"""Files out of the page cache, and the proof that they are out: dirty pages stay when Linux is asked to drop them."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator


def files_of(path: str) -> Iterator[str]:
    """Yield the path of a file, or of every file below a folder."""
    if os.path.isfile(path):
        yield path
    for folder, _, names in os.walk(path):
        yield from (os.path.join(folder, name) for name in names)


def drop(path: str) -> None:
    """Take every file below a path out of the page cache.

    Raises:
        SystemExit: more than a hundredth of a file stays; what is called cold would be warm.
    """
    for name in files_of(path):
        descriptor = os.open(name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            if (share := _resident(descriptor)) > 0.01:
                raise SystemExit(f"{name}: {share:.0%} of it stays in the page cache")
        finally:
            os.close(descriptor)


def warm(path: str) -> None:
    """Read every file below a path once."""
    buffer = bytearray(8 << 20)
    for name in files_of(path):
        with open(name, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def _resident(descriptor: int) -> float:
    nbytes = os.fstat(descriptor).st_size
    if nbytes < 1 << 20:  # a page or two of readahead say nothing
        return 0.0
    with mmap.mmap(descriptor, nbytes, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        pages = -(-nbytes // mmap.PAGESIZE)
        told = (ctypes.c_ubyte * pages)()
        start = ctypes.c_ubyte.from_buffer(mapped)
        libc = ctypes.CDLL(None, use_errno=True)
        status = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(nbytes), told)
        del start
        if status:
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(byte & 1 for byte in bytes(told)) / pages
