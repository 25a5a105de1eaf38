"""`resize(grid, ...)`: position embeddings of a square grid at another size, by bilinear interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

from ..errors import PlanError
from ..tensors.computed import Computed, Lazy
from ..tensors.lazy import product
from ..typed import Any
from ..values import replace


def resized(item: Lazy, options: Mapping[str, Any]) -> Lazy:
    """Return a (..., positions, width) table for a grid of `to=[rows, columns]`; the first `prefix` are kept."""
    prefix, to = options.get("prefix", 0), options.get("to")
    if not isinstance(to, list) or len(to) != 2 or not all(type(n) is int and n > 0 for n in to) or len(item.shape) < 2:
        raise PlanError(
            f"resize of {list(item.shape)} to {to!r}", expected="to=[rows, columns] of a (..., positions, width)"
        )
    positions = item.shape[-2] - prefix
    side = isqrt(max(0, positions))
    if side * side != positions:
        raise PlanError(f"{positions} positions after the first {prefix}", expected="a square grid")
    shape = (*item.shape[:-2], prefix + to[0] * to[1], item.shape[-1])

    def compute(values: Any) -> Any:
        import numpy as np

        kept, grid = values[0][..., :prefix, :], values[0][..., prefix:, :]
        grid = grid.reshape(*grid.shape[:-2], side, side, grid.shape[-1]).astype(np.float64)
        for axis, size in ((-3, to[0]), (-2, to[1])):
            grid = _along(np, grid, axis, size)
        flat = grid.reshape(*grid.shape[:-3], to[0] * to[1], grid.shape[-1]).astype(values[0].dtype)
        return np.concatenate([kept, flat], axis=-2)

    largest = max(side * side, to[0] * side, to[0] * to[1]) * product((*item.shape[:-2], item.shape[-1]))
    made = Computed(item.dtype, shape, (item,), compute)
    return replace(made, scratch=4 * 8 * largest + made.nbytes)  # the grid, and three of the next, in float64


def _along(np: Any, grid: Any, axis: int, size: int) -> Any:
    """Linear interpolation along one axis, centres aligned as torch's align_corners=False."""
    old = grid.shape[axis]
    at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, old - 1)
    weight = (at - low).reshape([-1 if d == axis % grid.ndim else 1 for d in range(grid.ndim)])
    return np.take(grid, low, axis) * (1 - weight) + np.take(grid, high, axis) * weight
