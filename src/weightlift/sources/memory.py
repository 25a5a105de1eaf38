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
