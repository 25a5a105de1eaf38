"""Operations that put the elements of one array in the order of another, spelled by what the axes do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from ...tensors.lazy import product
from ...typed import TYPE_CHECKING, Any
from ...values import dataclass
from .fingerprints import Fingerprint, fingerprint

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_NAMES = "abcdefghijklmnopqrstuvwxyz"
_MOST_TRIED = 5000  # layouts that are tried where equal slices leave it open which is which


@dataclass(frozen=True, slots=True)
class Layout:
    """A dimension taken apart into axes of some sizes, and the order in which these are put together again."""

    sizes: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def is_same(self) -> bool:
        """Whether nothing moves."""
        return self.order == tuple(sorted(self.order))


def arrangement(before: Array, after: Array, *, deeper: bool = True) -> list[str] | None:
    """Return the operations that make the second array of the first, or None where none was found."""
    if before.size != after.size:
        return None
    if before.tobytes() == after.tobytes():
        return [] if before.shape == after.shape else [f"reshape({_listed(after.shape)})"]
    one, two = fingerprint(before), fingerprint(after)
    dims = _same_dims(one, two)
    if dims is None:
        return _apart(before, after, deeper=deeper)
    fits = [layout(one.slices[d], two.slices[e]) for e, d in enumerate(dims)]
    found = [fit for fit in fits if fit is not None]
    if len(found) == len(fits):
        return [_spelled(one, two, dims, found)]
    return _rows(one, two, dims, fits)


def layout(before: Array, after: Array) -> Layout | None:
    """Return how slices, told apart by their fingerprints, were put in another order; None where it is no layout."""
    import numpy as np

    if (before == after).all():
        return Layout((len(before),), (0,))
    if len(np.unique(before)) == len(before):
        return strided(np.argsort(before)[np.searchsorted(np.sort(before), after)])
    found = [fit for fit in _swaps(len(before)) if (rearranged(before, fit) == after).all()]
    return found[0] if len(found) == 1 else None


def strided(places: Array) -> Layout | None:
    """Return the layout of a permutation: where each element was before, in the order of now."""
    import numpy as np

    count, done = len(places), 1
    axes: list[tuple[int, int]] = []  # (stride before, size), innermost first
    while done < count:
        steps = places[::done] - places[0]
        step = int(steps[1]) if count % done == 0 else 0
        wrong = np.flatnonzero(steps != step * np.arange(len(steps)))
        run = int(wrong[0]) if len(wrong) else len(steps)
        if step <= 0 or len(steps) % run:
            return None
        axes.append((step, run))
        done *= run
    strides = sorted(axes, reverse=True)
    fit = Layout(tuple(size for _, size in strides), tuple(strides.index(axis) for axis in reversed(axes)))
    return fit if (rearranged(np.arange(count), fit) == places).all() else None


def rearranged(line: Array, fit: Layout) -> Array:
    """Return a line of slices in the order of a layout."""
    return line.reshape(fit.sizes).transpose(fit.order).reshape(-1)


def renamed(fit: Layout, dim: int, rank: int) -> str:
    """Return the `rearrange` that lays out one dimension anew and leaves the others."""
    names = iter(_NAMES)
    axes = [next(names) for _ in fit.sizes]
    rest = [next(names) for _ in range(rank - 1)]
    left, right = ([*rest[:dim], f"({' '.join(group)})", *rest[dim:]] for group in (axes, [axes[i] for i in fit.order]))
    sizes = [f"{name}={size}" for name, size in zip(axes, fit.sizes, strict=True)]
    return _rearrange(left, right, sizes)


def _rearrange(left: list[str], right: list[str], sizes: list[str]) -> str:
    pattern = f'"{" ".join(left)} -> {" ".join(right)}"'
    return f"rearrange({', '.join([pattern, *sizes])})"


def _same_dims(one: Fingerprint, two: Fingerprint) -> list[int] | None:
    """For each dimension after, the place of the one before that has the same slices."""
    import numpy as np

    free = {d: np.sort(sums) for d, sums in enumerate(one.slices)}
    dims = []
    for sums in two.slices:
        wanted = np.sort(sums)
        place = next((d for d, held in free.items() if np.array_equal(held, wanted)), None)
        if place is None:
            return None
        del free[place]
        dims.append(place)
    return None if free else dims


def _spelled(one: Fingerprint, two: Fingerprint, dims: list[int], fits: list[Layout]) -> str:
    """One `t`, `permute` or `rearrange` that turns the dimensions and lays each out anew."""
    same = all(fit.is_same for fit in fits)
    if same and len(one.shape) == len(two.shape) == len(dims):
        return "t" if len(dims) == 2 else f"permute({_listed(tuple(dims))})"
    names = iter(_NAMES)
    left, right = (["()"] * len(side.shape) for side in (one, two))
    sizes: list[str] = []
    for e, d in sorted(enumerate(dims), key=lambda pair: pair[1]):
        fit = fits[e]
        axes = [next(names) for _ in fit.sizes]
        for side, at, group in ((left, one.dims[d], axes), (right, two.dims[e], [axes[i] for i in fit.order])):
            side[at] = f"({' '.join(group)})" if len(group) > 1 else group[0]
        sizes += [f"{axis}={size}" for axis, size in zip(axes, fit.sizes, strict=True)] if len(axes) > 1 else []
    return _rearrange(left, right, sizes)


def _rows(one: Fingerprint, two: Fingerprint, dims: list[int], fits: list[Layout | None]) -> list[str] | None:
    """The rows one by one, where nothing but the first dimension was put in an order that is no layout."""
    import numpy as np

    is_moved = [fit is None or not fit.is_same for fit in fits]
    if one.shape != two.shape or dims != sorted(dims) or is_moved != [d == 0 for d in range(len(dims))]:
        return None
    before, after = one.slices[0], two.slices[0]
    if one.dims[0] != 0 or len(np.unique(before)) < len(before):
        return None
    return [f"rows([{_listed(np.argsort(before)[np.searchsorted(np.sort(before), after)].tolist())}])"]


def _apart(before: Array, after: Array, *, deeper: bool) -> list[str] | None:
    """A dimension taken apart into several, or several joined into one, beside what `arrangement` finds."""
    one, two = ([size for size in side.shape if size != 1] for side in (before, after))
    if not deeper or len(one) == len(two):
        return None
    short, long = sorted((one, two), key=len)
    for at, size in enumerate(short):
        for sizes in dict.fromkeys(permutations(long, len(long) - len(short) + 1)):
            if product(sizes) != size:
                continue
            shape = (*short[:at], *sizes, *short[at + 1 :])
            if len(one) < len(two):
                words = arrangement(before.reshape(shape), after, deeper=False)
                if words is not None:
                    return [f"reshape({_listed(shape)})", *words]
            else:
                words = arrangement(before, after.reshape(shape), deeper=False)
                if words is not None:
                    return [*words, f"reshape({_listed(after.shape)})"]
    return None


def _swaps(count: int) -> Iterator[Layout]:
    """Yield every layout in which two neighbouring axes change places, up to a limit."""
    divisors = [n for n in range(1, count + 1) if count % n == 0]
    tried = 0
    for inner in divisors:
        for second in divisors:
            if second == 1 or (count // inner) % second:
                continue
            for first in divisors:
                if first == 1 or (count // inner // second) % first:
                    continue
                tried += 1
                if tried > _MOST_TRIED:
                    return
                sizes = {0: count // inner // second // first, 1: first, 2: second, 3: inner}
                kept = [axis for axis, size in sizes.items() if size > 1]
                order = tuple(kept.index(axis) for axis in (0, 2, 1, 3) if axis in kept)
                yield Layout(tuple(sizes[axis] for axis in kept), order)


def _listed(numbers: tuple[int, ...] | list[int]) -> str:
    return ", ".join(map(str, numbers))
