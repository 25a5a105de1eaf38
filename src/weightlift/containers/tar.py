"""A tar's members as byte ranges. The standard library parses it; nothing is ever extracted."""

from __future__ import annotations

from ..errors import ContainerError, LimitError, WeightliftError, shown
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Source
from ..typed import Any


class _Reader:
    """The file object that `tarfile` asks for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def read(self, nbytes: int = -1) -> bytes:
        data = self._source.read_up_to(self._at, self._source.size if nbytes < 0 else nbytes)
        self._at += len(data)
        return data

    def seek(self, offset: int) -> int:
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at


def read_tar(source: Source, limits: Limits = DEFAULT_LIMITS) -> dict[str, Source]:
    """Return name -> bytes for the regular files of an uncompressed tar. Reads the headers only."""
    import tarfile  # costs a dozen imports and only the oldest checkpoints need it

    members: dict[str, Source] = {}
    reader: Any = _Reader(source)
    try:
        with tarfile.open(fileobj=reader, mode="r:") as archive:
            for info in archive:
                if len(members) >= limits.members:
                    raise LimitError(f"the tar lists more than {limits.members} members")
                if not info.isreg() or info.issparse():
                    continue
                name = info.name.removeprefix("./")
                if name in members:
                    raise ContainerError(f"two members are called {name!r}", expected="each name once")
                members[name] = source.window(info.offset_data, info.size, name)
    except WeightliftError:
        raise
    except Exception as error:  # noqa: BLE001 - of broken headers tarfile lets ValueError, IndexError and more out
        raise ContainerError(f"the tar cannot be read ({shown(error)})") from None
    return members
