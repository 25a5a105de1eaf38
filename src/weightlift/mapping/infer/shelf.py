"""Slices of source tensors by their fingerprints, and the longest runs of them that a target is made of."""

from __future__ import annotations

from collections.abc import Sequence

from ...typed import TYPE_CHECKING, Any
from ...values import dataclass
from .fingerprints import Fingerprint

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_MOST_PLACES = 64  # places of equal slices that are looked at; what is in more tells nothing


@dataclass(frozen=True, slots=True)
class Run:
    """Slices of a source, one after the other, along the dimension at `slot`; the whole source where it is -1."""

    source: int
    slot: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Way:
    """The runs that a target is made of, along the dimension of the target at `slot`."""

    slot: int
    runs: tuple[Run, ...]
    rivals: frozenset[int] = frozenset()
    """Sources that hold as much of the same somewhere else, with those that were taken instead."""


class Shelf:
    """An index of all slices of some sources, brought to one type."""

    def __init__(self, sources: Sequence[Fingerprint]) -> None:
        import numpy as np

        self.sources = sources
        held = [(i, slot) for i, one in enumerate(sources) for slot in range(-1, len(one.slices))]
        sums = [sources[i].along(slot) for i, slot in held]
        every = np.concatenate(sums) if sums else np.zeros(0, np.uint64)
        order = np.argsort(every, kind="stable")
        self._sums = every[order]
        self._lines = np.repeat(np.arange(len(held)), [len(line) for line in sums])[order]
        starts = np.cumsum([0, *(len(line) for line in sums)])[:-1]
        self._places = order - starts[self._lines] if len(order) else order
        self._held = held

    def wholes(self, wanted: Fingerprint) -> list[int]:
        """Return the sources that have the same elements; those in the same order alone, if there are any."""
        lines = [self._held[line] for line, _ in self._at(wanted.whole[0])]
        found = list(dict.fromkeys(source for source, slot in lines if slot < 0))
        same = [source for source in found if self.sources[source].digest == wanted.digest]
        return same or found

    def way(self, wanted: Fingerprint) -> Way | None:
        """Return what a target is made of, in as few runs as can be; None where some slice is nowhere."""
        ways = []
        for slot in range(-1, len(wanted.slices)):
            runs = self._runs(wanted.along(slot))
            if runs is not None:
                ways.append(Way(slot, tuple(runs[0]), frozenset(runs[1])))
        return min(ways, key=lambda way: len(way.runs), default=None)

    def _runs(self, line: Array) -> tuple[list[Run], set[int]] | None:
        """The runs that slices make, from the rarest slice of what is left on, and sources that could be meant too."""
        import numpy as np

        low, high = (np.searchsorted(self._sums, line, side) for side in ("left", "right"))
        counts = high - low
        if not counts.all():
            return None
        runs: dict[int, Run] = {}
        rivals: set[int] = set()
        used: set[int] = set()
        left = [(0, len(line))]
        while left:
            start, stop = left.pop()
            at = start if counts[start] == 1 else start + int(counts[start:stop].argmin())
            if counts[at] > _MOST_PLACES:
                return None
            places = zip(
                self._lines[low[at] : high[at]].tolist(), self._places[low[at] : high[at]].tolist(), strict=True
            )
            found = [self._run(line[start:stop], at - start, where, place) for where, place in places]
            begin, run = max(found, key=lambda one: (one[1].count, one[1].source in used))
            for _, other in found:
                is_alias = self.sources[other.source] is self.sources[run.source]
                if other.count == run.count and not (is_alias and other.start == run.start):
                    rivals |= {run.source, other.source}
            taken = line[start + begin : start + begin + run.count]
            if counts[at] > 1 and (taken == taken[0]).all():
                rivals.add(run.source)  # nothing but equal slices, such as zeros: how many there are tells nothing
            runs[start + begin] = run
            used.add(run.source)
            left += [part for part in ((start, start + begin), (start + begin + run.count, stop)) if part[0] < part[1]]
        return [runs[at] for at in sorted(runs)], rivals

    def _run(self, line: Array, at: int, where: int, place: int) -> tuple[int, Run]:
        """As many slices as are the same before and after two that are, and where in the line they begin."""
        import numpy as np

        source, slot = self._held[where]
        held = self.sources[source].along(slot)
        back, ahead = min(at, place), min(len(line) - at, len(held) - place)
        wrong = np.flatnonzero(held[place - back : place + ahead] != line[at - back : at + ahead])
        first = max((int(i) + 1 for i in wrong[wrong < back][-1:]), default=0)
        last = min((int(i) for i in wrong[wrong > back][:1]), default=back + ahead)
        return at - back + first, Run(source, slot, place - back + first, last - first)

    def _at(self, wanted: Any) -> list[tuple[int, int]]:
        """The lines that hold a fingerprint, and the place in each."""
        import numpy as np

        low, high = (int(np.searchsorted(self._sums, wanted, side)) for side in ("left", "right"))
        return list(zip(self._lines[low:high].tolist(), self._places[low:high].tolist(), strict=True))
