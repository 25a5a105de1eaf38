"""A deflated member, inflated as it is read: memory stays one chunk however big it is."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from ..errors import ChecksumError, ContainerError
from .base import Source

_CHUNK = 1 << 18


Told = Callable[[ChecksumError], None]
"""Is told of bytes with another CRC than they should have, instead of whoever reads them."""


def wrong_crc(name: str, found: int, wanted: int, told: Told | None) -> None:
    """Tell of bytes with a wrong CRC.

    Raises:
        ChecksumError: nobody else is told.
    """
    error = ChecksumError(
        f"the bytes of {name!r} have the CRC {found:08x}",
        expected=f"{wanted:08x}",
        remedy="the file is damaged: fetch or save it again",
    )
    if told is None:
        raise error
    told(error)


class Inflated(Source):
    """The inflated bytes of a raw deflate stream.

    Reading forward is one pass; reading backward starts again. The stream has to give exactly
    `nbytes` bytes: what a header claims is never allocated in advance. With `crc`, whoever reads to the end
    gets an error in place of bytes with another one.
    """

    __slots__ = ("_buffer", "_buffer_at", "_crc", "_deflated", "_engine", "_fed", "_sum", "_told")

    def __init__(
        self, deflated: Source, nbytes: int, name: str, crc: int | None = None, told: Told | None = None
    ) -> None:
        self.name = name
        self.size = nbytes
        self._deflated = deflated
        self._crc = crc
        self._told = told
        self._rewind()

    @property
    def density(self) -> float:
        """Deflated bytes for each inflated one."""
        return min(1.0, self._deflated.size / max(1, self.size))

    def _rewind(self) -> None:
        self._engine = zlib.decompressobj(-zlib.MAX_WBITS)
        self._fed = 0
        self._buffer = b""
        self._buffer_at = 0
        self._sum = 0

    def _read(self, offset: int, nbytes: int) -> bytes:
        if offset < self._buffer_at:
            self._rewind()
        parts: list[bytes] = []
        wanted = nbytes
        while wanted:
            start = offset - self._buffer_at
            piece = self._buffer[start : start + wanted]
            if piece:
                parts.append(piece)
                wanted -= len(piece)
                offset += len(piece)
            else:
                self._advance()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _advance(self) -> None:
        """Replace the buffer by the next inflated chunk."""
        self._buffer_at += len(self._buffer)
        self._buffer = b""
        while not self._buffer:
            data = self._engine.unconsumed_tail
            if not data:
                data = self._deflated.read_up_to(self._fed, _CHUNK)
                self._fed += len(data)
            try:
                self._buffer = self._engine.decompress(data, _CHUNK)
            except zlib.error as error:
                raise ContainerError(f"the deflate stream is broken ({error})", where=self.name) from None
            if not self._buffer and (self._engine.eof or not data):
                raise ContainerError(
                    f"inflates to {self._buffer_at} bytes", expected=f"the {self.size} of its header", where=self.name
                )
        if self._crc is not None:
            self._check_sum(self._crc)

    def _check_sum(self, wanted: int) -> None:
        self._sum = zlib.crc32(self._buffer, self._sum)
        if self._buffer_at + len(self._buffer) == self.size and self._sum != wanted:
            wrong_crc(self.name, self._sum, wanted, self._told)
