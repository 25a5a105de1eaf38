"""A new file that is hashed as it is written and flushed at its end."""

from __future__ import annotations

import os

from ..typed import Self
from .flushing import flush
from .hashing import hasher

_SMALL = 1 << 16  # what is smaller is gathered first: a call of the system for each scalar would cost more
_GATHERED = 1 << 20


class HashedFile:
    """Bytes go in one after the other; `digest` is their hash once the file is closed, flushed and on the disk."""

    __slots__ = ("_fd", "_gathered", "_hash", "digest")

    def __init__(self, path: str, hash_name: str) -> None:
        self._hash = hasher(hash_name)()
        self._gathered = bytearray()
        self.digest = ""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        if len(data) < _SMALL:
            self._gathered += data
            if len(self._gathered) >= _GATHERED:
                self._pass_on()
            return
        self._pass_on()
        self._hash.update(data)
        self._write_all(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._pass_on()
                flush(self._fd)
                self.digest = self._hash.hexdigest()
        finally:
            closing, self._fd = self._fd, -1
            os.close(closing)

    def _pass_on(self) -> None:
        if self._gathered:
            data, self._gathered = self._gathered, bytearray()
            self._hash.update(data)
            self._write_all(data)

    def _write_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write every byte, however few the system takes at a time."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
