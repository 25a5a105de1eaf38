"""A new file that is hashed as it is written and flushed at its end."""

from __future__ import annotations

import os
from contextlib import suppress

from ..typed import TYPE_CHECKING, Self
from .flushing import flush
from .hashing import hasher

if TYPE_CHECKING:
    from threading import Thread

_SMALL = 1 << 16  # what is smaller is gathered first: a call of the system for each scalar would cost more
_GATHERED = 1 << 20
_EARLY = 64 << 20  # written before the disk is told to begin


class HashedFile:
    """Bytes go in one after the other; `digest` is their hash once the file is closed, flushed and on the disk.

    Of a large file, what is written already is flushed by a second thread while the rest follows: left alone, the
    system begins with it only at the end, and the disk and the copying take their time one after the other.
    """

    __slots__ = ("_behind", "_early", "_failed", "_fd", "_gathered", "_hash", "digest")

    def __init__(self, path: str, hash_name: str) -> None:
        self._hash = hasher(hash_name)()
        self._gathered = bytearray()
        self._behind = 0
        self._early: Thread | None = None
        self._failed: OSError | None = None
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
            if self._early:
                self._early.join()
            if kind is None:
                if self._failed:
                    raise self._failed  # and the file is given up: a flush that succeeds now would mean nothing
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
        self._behind += len(data)
        if self._behind >= _EARLY and not (self._early and self._early.is_alive()) and hasattr(os, "fdatasync"):
            if self._failed:
                raise self._failed
            from threading import Thread

            self._behind = 0
            thread = Thread(target=self._flush_early, args=(self._fd,))
            with suppress(RuntimeError):  # no more threads, or the interpreter is ending: all is flushed at the end
                thread.start()
                self._early = thread

    def _flush_early(self, fd: int) -> None:
        try:
            os.fdatasync(fd)
        except OSError as error:
            self._failed = error
