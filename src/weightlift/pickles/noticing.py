"""Reading pickles as a format does, and watching them on the way.

A scan has to know what a load would import and call, a format what the tensors are: both come from carrying
a pickle out once. One that is dangerous, cannot be rebuilt, or makes what could be called is watched for
itself: a broken tensor hides no call after it, and a dangerous call is told as it stands in the file.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Source
from ..typed import Any
from .inline_arrays import WRAPPER
from .machine import Pickle, carry_out
from .nodes import Global, Object
from .state import Machine, Rebuild
from .watching import Watched, Watching, watch_pickle

_Place = tuple[tuple[int, int], int, int]


class SeenPickles:
    """Pickles that were read, and what was seen in them, by the place of their bytes."""

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
        """Do what `read_pickle` does, and keep what was seen."""
        machine = _Noticing(source, offset, rebuild or {}, persistent, limits)
        pickle = carry_out(machine)
        place = _place(source, offset) if machine.is_faithful else None
        if place is not None:
            seen = machine.watched(pickle.end, None)
            if all(sight.verdict != "dangerous" for sight in seen.sights):
                self._seen[place] = seen
        return pickle

    def watch(self, source: Source, offset: int, limits: Limits) -> Watched:
        """Do what `watch_pickle` does, without carrying out once more what was seen while it was read."""
        if self._seen and (place := _place(source, offset)) is not None:
            seen = self._seen.get(place)
            if seen is not None and seen.opcodes <= limits.opcodes:
                return seen
        return watch_pickle(source, offset, limits)


def _place(source: Source, offset: int) -> _Place | None:
    """Where a pickle lies in a file; None where it was compressed or lies in memory."""
    found = source.file_range(0, source.size)
    return None if found is None else (found, source.size, offset)


class _Noticing(Watching):
    """Machine that reads as a format does and watches, and notices where watching alone would see other values."""

    def __init__(
        self, source: Source, at: int, rebuild: Mapping[Global, Rebuild], persistent: Rebuild | None, limits: Limits
    ) -> None:
        super().__init__(source, at, limits, rebuild, persistent)
        self.is_faithful = True

    # what only watching puts up with, reading refuses
    set_items = Machine.set_items
    extend = Machine.extend
    add = Machine.add
    push_computed = Machine.push_computed

    def _look_at(self, made: Any) -> None:
        # a name can be called and texts and tuples make up ids of storages, where watching has an inert call
        if isinstance(made, Global | str | tuple):
            self.is_faithful = False

    def load_persistent(self, identifier: Any) -> Any:
        made = super().load_persistent(identifier)
        self._look_at(made)
        return made

    def call(self, fn: Any, args: Any) -> None:
        if not isinstance(args, tuple):
            return Machine.call(self, fn, args)
        super().call(fn, args)
        if not isinstance(fn, Global | Object):
            self.is_faithful = False
        self._look_at(self.stack[-1])
        return None

    def instantiate(self, cls: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if not isinstance(args, tuple):
            return Machine.instantiate(self, cls, args, kwargs)
        super().instantiate(cls, args, kwargs)
        if not isinstance(cls, Global | Object):
            self.is_faithful = False
        return None

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, Object) and target.fn != WRAPPER:
            super().build(target, state)
        else:
            self._attributes((state,))
            self.is_faithful &= not isinstance(target, Object)  # an array follows, which watching passes over
            Machine.build(self, target, state)
