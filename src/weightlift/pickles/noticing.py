"""Reading pickles as a format does, and noticing on the way that there is nothing to tell of them.

A scan has to know what a load would import and call, a format what the tensors are. For a pickle that
names nothing but what is known to be harmless, both come from carrying it out once. One that names
anything else, or cannot be rebuilt, is watched for itself: a broken tensor hides no call after it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Source
from ..typed import Any
from .inline_arrays import WRAPPER
from .known_globals import verdict_of
from .machine import Pickle, carry_out
from .nodes import Blob, Global
from .state import Machine, Rebuild
from .watching import Watched, watch_pickle

_Place = tuple[tuple[int, int], int, int]


class PlainPickles:
    """Pickles that were read and of which there is nothing to tell, by the place of their bytes."""

    def __init__(self) -> None:
        self._seen: dict[_Place, Watched] = {}

    def read(
        self,
        source: Source,
        offset: int = 0,
        *,
        rebuild: Mapping[Global, Rebuild] | None = None,
        persistent: Rebuild | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Pickle:
        """Do what `read_pickle` does, and keep what was seen of a plain pickle."""
        machine = _Noticing(source, offset, rebuild or {}, persistent, limits)
        pickle = carry_out(machine)
        place = _place(source, offset) if machine.is_plain else None
        if place is not None:
            self._seen[place] = machine.watched(pickle)
        return pickle

    def watch(self, source: Source, offset: int, limits: Limits) -> Watched:
        """Do what `watch_pickle` does, without carrying out once more what was read and is plain."""
        if self._seen and (place := _place(source, offset)) is not None:
            seen = self._seen.get(place)
            if seen is not None and seen.opcodes <= limits.opcodes:
                return seen
        return watch_pickle(source, offset, limits)


def _place(source: Source, offset: int) -> _Place | None:
    """Where a pickle lies in a file; None where it was compressed or lies in memory."""
    found = source.file_range(0, source.size)
    return None if found is None else (found, source.size, offset)


class _Noticing(Machine):
    """Machine that notices whether watching would have anything to tell, or would see other values."""

    def __init__(
        self, source: Source, at: int, rebuild: Mapping[Global, Rebuild], persistent: Rebuild | None, limits: Limits
    ) -> None:
        super().__init__(source, at, rebuild, persistent, limits)
        self.is_plain = True
        self.ids: list[Any] = []
        self.blobs: list[Blob] = []
        self.spans: list[tuple[int, int]] = []

    def watched(self, pickle: Pickle) -> Watched:
        """Return what watching would, of a plain pickle."""
        return Watched(
            self.start,
            pickle.end,
            sights=[],
            error=None,
            ids=self.ids,
            blobs=self.blobs,
            loads=[],
            opcodes=pickle.opcodes,
            globals=pickle.globals,
            highest_memo=self.highest_memo(),
            arrays=0,
            spans=self.spans,
        )

    def _look_at(self, made: Any) -> None:
        # a name can be called and texts and tuples make up ids of storages, where watching has an inert call
        if isinstance(made, Global | str | tuple):
            self.is_plain = False

    def load_persistent(self, identifier: Any) -> Any:
        if len(self.ids) < self.limits.members:
            self.ids.append(identifier)
        made = super().load_persistent(identifier)
        self._look_at(made)
        return made

    def push_global(self, module: str, name: str) -> None:
        known = len(self.known)
        super().push_global(module, name)
        if len(self.known) > known:
            named = self.stack[-1]
            if verdict_of(named) != "clean" or named == WRAPPER:
                self.is_plain = False

    def call(self, fn: Any, args: Any) -> None:
        super().call(fn, args)
        if not isinstance(fn, Global):
            self.is_plain = False
        self._look_at(self.stack[-1])

    def instantiate(self, cls: Any, args: Any, kwargs: dict[str, Any]) -> None:
        super().instantiate(cls, args, kwargs)
        if not isinstance(cls, Global):
            self.is_plain = False

    def take_bytes(self, nbytes: int) -> bytes | Blob:
        data = super().take_bytes(nbytes)
        if isinstance(data, Blob):
            self.blobs.append(data)
            self.spans.append((self.at - nbytes, self.at))
        return data
