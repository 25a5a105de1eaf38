"""Parts of tensors: `[0:10, :]`, what they cut out, and whether several make up the whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ..errors import PlanError
from ..tensors.computed import Lazy
from ..tensors.lazy import product
from .ops import sliced
from .rules import Span

Box = tuple[tuple[int, int], ...]


def cut(value: Lazy, spans: tuple[Span, ...]) -> Lazy:
    """Return the part of a tensor that spans name."""
    for dim, (start, stop) in enumerate(spans):
        if dim >= len(value.shape):
            raise PlanError(f"{len(spans)} spans of a tensor of {len(value.shape)} dimensions")
        value = sliced(value, dim, start or 0, value.shape[dim] if stop is None else stop)
    return value


def span_shape(shape: tuple[int, ...], spans: tuple[Span, ...]) -> tuple[int, ...]:
    """Return the shape of the part that spans name."""
    out = list(shape)
    for dim, (start, stop) in enumerate(spans[: len(shape)]):
        out[dim] = (shape[dim] if stop is None else stop) - (start or 0)
    return tuple(out)


def box(shape: tuple[int, ...], spans: tuple[Span, ...]) -> Box:
    """Return (start, stop) for every dimension."""
    named = [(start or 0, shape[d] if stop is None else stop) for d, (start, stop) in enumerate(spans[: len(shape)])]
    return (*named, *((0, size) for size in shape[len(named) :]))


def overlap(boxes: Sequence[Box]) -> bool:
    """Whether two of the boxes have an element in common."""
    return any(all(a[0] < b[1] and b[0] < a[1] for a, b in zip(x, y, strict=True)) for x, y in combinations(boxes, 2))


def covers(shape: tuple[int, ...], boxes: Sequence[Box]) -> bool:
    """Whether boxes without overlap have every element between them."""
    return sum(product(tuple(stop - start for start, stop in one)) for one in boxes) == product(shape)
