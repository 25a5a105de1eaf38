"""Element types changed, and which of them hold every value of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dtypes import DType
from ..errors import OverflowingError
from .computed import Computed, Lazy

if TYPE_CHECKING:
    import numpy as np

# bits of exponent and fraction
_FLOAT_BITS = {
    "float64": (11, 52), "float32": (8, 23), "bfloat16": (8, 7), "float16": (5, 10), "float8_e5m2": (5, 2),
    "float8_e4m3fn": (4, 3),
}  # fmt: skip


def cast(item: Lazy, dtype: DType, *, overflow: bool = False) -> Lazy:
    """Return the tensor in another element type.

    A finite value that would become infinite is an error when the values are computed, unless
    `overflow` allows it.
    """
    if item.dtype is dtype:
        return item
    return Computed(dtype, item.shape, (item,), lambda values: converted(values[0], dtype, overflow=overflow))


def converted(values: np.ndarray[Any, Any], dtype: DType, *, overflow: bool = False) -> np.ndarray[Any, Any]:
    """Return an array in another element type.

    Raises:
        OverflowingError: a finite value has no finite counterpart.
    """
    import numpy as np

    from .as_numpy import numpy_dtype

    with np.errstate(over="ignore", invalid="ignore"):
        made = values.astype(numpy_dtype(dtype))
        if not overflow and dtype.name in _FLOAT_BITS and values.dtype.kind not in "bui":
            lost = np.isfinite(values.astype(np.float64)) & ~np.isfinite(made.astype(np.float64))
            if lost.any():
                worst = float(np.abs(values.astype(np.float64)[lost]).max())
                raise OverflowingError(
                    f"{int(lost.sum())} finite values (up to {worst:.3g}) become infinite in {dtype}",
                    remedy="cast to bfloat16, or allow it (!overflow, overflow=True)",
                )
    return made


def holds_all(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is also one of `wide`."""
    if wide is narrow:
        return True
    a, b = _FLOAT_BITS.get(wide.name), _FLOAT_BITS.get(narrow.name)
    if a and b:
        return a[0] >= b[0] and a[1] >= b[1]
    kinds = [dtype.name.lstrip("u").startswith("int") for dtype in (wide, narrow)]
    same_sign = wide.name.startswith("u") == narrow.name.startswith("u")
    return all(kinds) and same_sign and wide.bits >= narrow.bits


def tolerance(dtype: DType) -> float:
    """Return the relative tolerance that rounding in this type explains: four units in the last place."""
    bits = _FLOAT_BITS.get(dtype.name)
    return 0.0 if bits is None else 4.0 * 2.0 ** -bits[1]
