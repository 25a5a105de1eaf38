"""The operations between sources and the targets that are made of all their slices: joined, laid out anew, parted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...tensors.lazy import product
from ...typed import TYPE_CHECKING, Any
from ...values import dataclass
from .arrange import arrangement, layout, rearranged, renamed
from .fingerprints import Fingerprint
from .shelf import Run, Shelf, Way

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """A target's fingerprint, and the slices that it is made of."""

    seen: Fingerprint
    way: Way


@dataclass(frozen=True, slots=True)
class Steps:
    """The sources in the order in which they are joined, and the operations."""

    sources: tuple[int, ...]
    words: tuple[str, ...]


def joined_steps(
    members: Sequence[Member], shelf: Shelf, before: Callable[[int], Array], after: Callable[[int], Array]
) -> Steps | None:
    """Return the operations that make all of the members, or None where none were found.

    `before` reads a source, `after` a member.
    """
    import numpy as np

    runs = [run for member in members for run in member.way.runs]
    slots = {run.source: run.slot for run in runs}
    sources = tuple(slots)
    dims = {shelf.sources[i].dim(slot) for i, slot in slots.items()}
    targets = {member.seen.dim(member.way.slot) for member in members}
    if len(dims) != 1 or len(targets) != 1 or any(slots[run.source] != run.slot for run in runs):
        return None
    axis, parted = dims.pop(), targets.pop()
    lines = [shelf.sources[i].along(slot) for i, slot in slots.items()]
    if not _is_all(members, [shelf.sources[i] for i in sources]):
        is_told = len(sources) == 1 and len(np.unique(lines[0])) == len(lines[0])
        return _part(members, runs, axis, before, after) if is_told or len(runs) == 1 else None
    arrays = [before(i) for i in sources]
    words: list[str] = []
    if len(arrays) > 1:
        axis, word = (axis, "cat") if axis >= 0 else (min(parted, arrays[0].ndim), "stack")
        if len({_without(array.shape, axis if word == "cat" else -1) for array in arrays}) > 1:
            return None
        words.append(f"{word}({axis})")
        arrays = [np.concatenate(arrays, axis) if word == "cat" else np.stack(arrays, axis)]
    (whole,) = arrays
    if len(members) > 1:
        line = np.concatenate([member.seen.along(member.way.slot) for member in members])
        fit = layout(np.concatenate(lines), line)
        if fit is None:
            return None
        if not fit.is_same:
            words.append(renamed(fit, axis, whole.ndim))
            whole = whole.take(rearranged(np.arange(len(line)), fit), axis)
        counts = [len(member.seen.along(member.way.slot)) for member in members]
        even = len(set(counts)) == 1
        words.append(f"unstack({axis})" if parted < 0 else f"split({axis}{'' if even else f', {counts}'})")
        whole = whole.take(0 if parted < 0 else range(counts[0]), axis)
    tail = arrangement(whole, after(0))
    return None if tail is None else Steps(sources, (*words, *tail))


def _part(
    members: Sequence[Member], runs: list[Run], axis: int, before: Callable[[int], Array], after: Callable[[int], Array]
) -> Steps | None:
    """One target made of a part of one source: neighbouring slices, or single rows."""
    if len(members) != 1 or len({run.source for run in runs}) != 1 or axis < 0:
        return None
    places = [run.start + i for run in runs for i in range(run.count)]
    start, stop = min(places), max(places) + 1
    if len(set(places)) == len(places) == stop - start:
        word, taken = f"slice({axis}, {start}, {stop})", before(runs[0].source).take(range(start, stop), axis)
    elif axis == 0:
        word, taken = f"rows({places})", before(runs[0].source).take(places, 0)
    else:
        return None
    tail = arrangement(taken, after(0))
    return None if tail is None else Steps((runs[0].source,), (word, *tail))


def _is_all(members: Sequence[Member], sources: Sequence[Fingerprint]) -> bool:
    """Whether the members have all elements of the sources, each once: then their fingerprints add up to the same."""
    sums = [sum(int(one.whole[0]) for one in side) for side in ([member.seen for member in members], sources)]
    counts = [sum(product(one.shape) for one in side) for side in ([member.seen for member in members], sources)]
    return counts[0] == counts[1] and (sums[0] - sums[1]) % (1 << 64) == 0


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape if axis < 0 else (*shape[:axis], *shape[axis + 1 :])
