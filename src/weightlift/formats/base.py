"""What every format gets and gives."""

from __future__ import annotations

from collections.abc import Callable

from ..checkpoint import Checkpoint
from ..containers import ZipArchive, looks_like_zip
from ..errors import ContainerError, LimitError
from ..limits import DEFAULT_LIMITS, Limits
from ..pickles import Pickle, read_pickle
from ..sources import Source
from ..typed import TypeAlias
from ..values import cached_property, dataclass

HEAD_NBYTES = 1024
ReadPickle: TypeAlias = Callable[..., Pickle]


class Probe:
    """A source together with what identifying it has already read of it."""

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> None:
        self.source = source
        self.limits = limits
        self.head = source.read_up_to(0, HEAD_NBYTES)

    @cached_property
    def zip(self) -> ZipArchive | None:
        """The archive, where the source is a zip."""
        return ZipArchive(self.source, self.limits) if looks_like_zip(self.source) else None

    @property
    def archive(self) -> ZipArchive:
        """The archive, for formats that have recognised one.

        Raises:
            ContainerError: the source is no zip.
        """
        if self.zip is None:
            raise ContainerError("no zip", expected="a zip archive")
        return self.zip

    @cached_property
    def names(self) -> list[str]:
        """The names in the zip; [] where the source is none."""
        return self.zip.names() if self.zip else []

    @cached_property
    def prefix(self) -> str | None:
        """The folder that holds `data.pkl` in a zip written by torch, with its slash, or None."""
        return next((n[: -len("data.pkl")] for n in self.names if n == "data.pkl" or n.endswith("/data.pkl")), None)


@dataclass(frozen=True, slots=True)
class Opening:
    """How a source is opened: within which limits, in how many archives it lies, and what reads its own pickles.

    `read` is `read_pickle`, or does what that does and keeps something of it.
    """

    limits: Limits = DEFAULT_LIMITS
    depth: int = 0
    read: ReadPickle = read_pickle

    def within(self) -> Opening:
        """Return the opening of something that lies inside.

        Raises:
            LimitError: archives within archives within archives.
        """
        if self.depth >= self.limits.archives:
            raise LimitError(f"archives nested deeper than {self.limits.archives}", remedy="raise Limits.archives")
        return Opening(self.limits, self.depth + 1)


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: how to tell it by its content, and how to open it.

    `recognises` reads no more than the probe's head and directory. `open` raises our errors only.
    """

    name: str
    recognises: Callable[[Probe], bool]
    open: Callable[[Probe, Opening], Checkpoint]
