"""The one thing that every layer above needs of a file: exact bytes at an offset."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..errors import TruncatedError


class Source(ABC):
    """A run of `size` bytes with a `name` for messages."""

    __slots__ = ("name", "size")

    name: str
    size: int

    @property
    def density(self) -> float:
        """Bytes in the file for each byte of this: 1, or less where they were compressed."""
        return 1.0

    @abstractmethod
    def _read(self, offset: int, nbytes: int) -> bytes:
        """Return exactly `nbytes` bytes; the range is already known to lie inside."""

    def read_at(self, offset: int, nbytes: int) -> bytes:
        """Return exactly `nbytes` bytes from `offset`.

        Raises:
            TruncatedError: the range does not lie inside the source.
        """
        self._check(offset, nbytes)
        return self._read(offset, nbytes)

    def view_at(self, offset: int, nbytes: int) -> bytes | memoryview:
        """Return exactly `nbytes` bytes from `offset`, not copied where they lie in memory.

        To be used at once: what is written there later is seen in it.

        Raises:
            TruncatedError: the range does not lie inside the source.
        """
        self._check(offset, nbytes)
        return self._view(offset, nbytes)

    def _view(self, offset: int, nbytes: int) -> bytes | memoryview:
        return self._read(offset, nbytes)

    def read_up_to(self, offset: int, nbytes: int) -> bytes:
        """Return the bytes from `offset`, fewer than `nbytes` where the source ends first."""
        return self._read(offset, max(0, min(nbytes, self.size - offset)))

    def window(self, offset: int, nbytes: int, name: str = "") -> Source:
        """Return the part of this source that starts at `offset`, itself a source."""
        self._check(offset, nbytes)
        return Window(self, offset, nbytes, name or self.name)

    def file_range(self, offset: int, nbytes: int) -> tuple[int, int] | None:
        """Return (file descriptor, absolute offset) where these bytes lie in a file as they are.

        None where they do not (memory, compressed). Lets torch map them.
        """
        return None

    def memory_range(self, offset: int, nbytes: int) -> memoryview | None:
        """Return these bytes as memory that a tensor may keep and write to.

        None where they lie elsewhere, or in memory that somebody else uses.
        """
        return None

    def _check(self, offset: int, nbytes: int) -> None:
        if offset < 0 or nbytes < 0 or offset + nbytes > self.size:
            raise TruncatedError(
                f"bytes {offset}..{offset + nbytes} are needed and there are {self.size}",
                expected="a complete file",
                remedy="fetch the file again",
            )


class Window(Source):
    """A part of another source."""

    __slots__ = ("_base", "_parent")

    _parent: Source
    _base: int

    def __init__(self, parent: Source, offset: int, nbytes: int, name: str) -> None:
        self.name = name
        self.size = nbytes
        self._parent = parent
        self._base = offset

    @property
    def density(self) -> float:
        """That of the source this is a part of."""
        return self._parent.density

    def _read(self, offset: int, nbytes: int) -> bytes:
        return self._parent.read_at(self._base + offset, nbytes)

    def _view(self, offset: int, nbytes: int) -> bytes | memoryview:
        return self._parent.view_at(self._base + offset, nbytes)

    def file_range(self, offset: int, nbytes: int) -> tuple[int, int] | None:
        """Delegates to the source this is a part of."""
        return self._parent.file_range(self._base + offset, nbytes)

    def memory_range(self, offset: int, nbytes: int) -> memoryview | None:
        """Delegates to the source this is a part of."""
        return self._parent.memory_range(self._base + offset, nbytes)
