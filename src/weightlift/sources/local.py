"""A file on this machine, read by `pread`: no mapping, so memory stays flat as files grow."""

from __future__ import annotations

import os
import stat

from ..errors import SourceError, TruncatedError
from .base import Source


class LocalFile(Source):
    """An open regular file; the descriptor closes with the last tensor that needs it.

    With `folder_fd`, the last part of the path is looked up in that open directory, wherever it is by now.
    """

    __slots__ = ("_fd", "path")

    def __init__(self, path: str | os.PathLike[str], *, folder_fd: int | None = None) -> None:
        self._fd = -1
        try:
            self.path = os.fspath(path)
        except TypeError:
            raise SourceError(f"a {type(path).__name__} is no path", expected="a str or a path") from None
        self.name = os.path.basename(self.path) or self.path
        try:
            flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            if folder_fd is None:
                self._fd = os.open(self.path, flags)
            else:
                self._fd = os.open(self.name, flags, dir_fd=folder_fd)
            mode = os.fstat(self._fd)
        except FileNotFoundError:
            raise SourceError("no such file", remedy="check the path", where=self.path) from None
        except PermissionError:
            raise SourceError("permission denied", remedy="make it readable for you", where=self.path) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceError(f"cannot be opened: {reason}", where=self.path) from None
        if stat.S_ISDIR(mode.st_mode):
            raise _directory(self.path)
        if not stat.S_ISREG(mode.st_mode):
            raise SourceError("not a regular file", expected="a checkpoint file", where=self.path)
        if mode.st_size == 0:
            raise SourceError(
                "the file is empty", expected="a checkpoint", remedy="fetch or save it again", where=self.path
            )
        self.size = mode.st_size

    def _read(self, offset: int, nbytes: int) -> bytes:
        data = os.pread(self._fd, nbytes, offset)
        if len(data) == nbytes:
            return data
        parts = [data]
        got = len(data)
        while got < nbytes:  # one call returns at most 2 GiB
            more = os.pread(self._fd, nbytes - got, offset + got)
            if not more:
                raise TruncatedError(f"the file shrank while it was read: byte {offset + got} is gone")
            parts.append(more)
            got += len(more)
        return b"".join(parts)

    def read_into(self, memory: memoryview, offset: int) -> int:
        """Read from `offset` into memory, as much as the system gives at once; return how many bytes that were.

        Raises:
            TruncatedError: the file ends there.
        """
        count = os.preadv(self._fd, [memory], offset)
        if not count:
            raise TruncatedError(f"the file shrank while it was read: byte {offset} is gone")
        return count

    def file_range(self, offset: int, nbytes: int) -> tuple[int, int] | None:
        """The descriptor of this file and the offset itself."""
        return self._fd, offset

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _directory(path: str) -> SourceError:
    """Say that `path` is a directory, and which file in it is probably meant."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        names = []
    steps = [n for n in names if os.path.isfile(os.path.join(path, n, "MANIFEST.json"))]
    if steps:
        told = f"`weightlift runs` lists them; name one, {os.path.join(path, steps[-1])} for instance"
        return SourceError("a directory of checkpoints", expected="one of them", remedy=told, where=path)
    likely = [n for n in names if n.endswith(".index.json")] or [
        n for n in names if n.endswith((".safetensors", ".pt", ".pth", ".bin", ".ckpt"))
    ]
    remedy = f"name a file in it, for instance {os.path.join(path, likely[0])}" if likely else "name a file in it"
    return SourceError("a directory", expected="a checkpoint file", remedy=remedy, where=path)
