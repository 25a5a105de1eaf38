"""Bytes that are already in memory: small members, nested blobs, tests."""

from __future__ import annotations

from .base import Source


class Memory(Source):
    """A bytes object as a source."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes, name: str = "bytes") -> None:
        self._data = data
        self.name = name
        self.size = len(data)

    def _read(self, offset: int, nbytes: int) -> bytes:
        return self._data[offset : offset + nbytes]


class Filled(Source):
    """Memory that was filled for one tensor's storage and belongs to whoever uses it."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview, name: str) -> None:
        self._view = view
        self.name = name
        self.size = view.nbytes

    def _read(self, offset: int, nbytes: int) -> bytes:
        return bytes(self._view[offset : offset + nbytes])

    def view_at(self, offset: int, nbytes: int) -> bytes | memoryview:
        """A view of the memory."""
        self._check(offset, nbytes)
        return self._view[offset : offset + nbytes]

    def memory(self) -> memoryview | None:
        """The memory, writable."""
        return self._view
