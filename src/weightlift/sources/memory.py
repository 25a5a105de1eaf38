"""Bytes that are already in memory: small members, nested blobs, tests, and what was read to be kept."""

from __future__ import annotations

from ..typed import TYPE_CHECKING
from .base import Source

if TYPE_CHECKING:
    import mmap


class Memory(Source):
    """A bytes object as a source."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes, name: str = "bytes") -> None:
        self._data = data
        self.name = name
        self.size = len(data)

    def _read(self, offset: int, nbytes: int) -> bytes:
        return self._data[offset : offset + nbytes]

    def _view(self, offset: int, nbytes: int) -> memoryview:
        return memoryview(self._data)[offset : offset + nbytes]


class OwnMemory(Source):
    """Writable memory that nobody but this source uses: torch tensors of it are that memory, not copies.

    Whoever makes one gives the buffer away. Several torch tensors of the same bytes share them, and what is
    written to them is read here afterwards. The buffer lives for as long as any of them does, all of it.
    """

    __slots__ = ("_buffer",)

    def __init__(self, buffer: bytearray | memoryview | mmap.mmap, name: str = "memory") -> None:
        self._buffer = memoryview(buffer).cast("B")
        if self._buffer.readonly:
            raise ValueError("the memory cannot be written to")
        self.name = name
        self.size = self._buffer.nbytes

    def _read(self, offset: int, nbytes: int) -> bytes:
        return bytes(self._buffer[offset : offset + nbytes])

    def _view(self, offset: int, nbytes: int) -> memoryview:
        return self._buffer[offset : offset + nbytes].toreadonly()

    def memory_range(self, offset: int, nbytes: int) -> memoryview:
        """Return the bytes themselves."""
        self._check(offset, nbytes)
        return self._buffer[offset : offset + nbytes]
