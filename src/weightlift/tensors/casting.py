"""Element types changed, and which of them hold every value of another."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..dtypes import DTYPES, DType
from ..errors import OverflowingError, UnsupportedError
from ..typed import TYPE_CHECKING, Any
from .computed import Computed, Lazy

if TYPE_CHECKING:
    import numpy as np

# bits of exponent and fraction
_FLOAT_BITS = {
    "float64": (11, 52), "float32": (8, 23), "bfloat16": (8, 7), "float16": (5, 10), "float8_e5m2": (5, 2),
    "float8_e4m3fn": (4, 3),
}  # fmt: skip
_COMPLEX_PARTS = {
    "complex128": "float64", "complex64": "float32", "complex32": "float16", "bcomplex32": "bfloat16",
}  # fmt: skip


def cast(item: Lazy, dtype: DType, *, overflow: bool = False) -> Lazy:
    """Return the tensor in another element type.

    A finite value that the type cannot hold is an error when the values are computed, unless `overflow`
    allows it.

    Raises:
        UnsupportedError: complex values in a type that has no place for their imaginary part.
    """
    if item.dtype is dtype:
        return item
    if item.dtype.is_complex and not dtype.is_complex:
        raise UnsupportedError(f"{item.dtype} as {dtype}", expected="a complex type: imaginary parts would be lost")
    same = ("cast", dtype.name, overflow, item.view)
    compute = partial(_first_converted, dtype=dtype, overflow=overflow)
    return Computed(dtype, item.shape, (item,), compute, same=same, scratch=SCRATCH_BYTES)


def _first_converted(values: list[np.ndarray[Any, Any]], *, dtype: DType, overflow: bool) -> np.ndarray[Any, Any]:
    return converted(values[0], dtype, overflow=overflow)


def converted(values: np.ndarray[Any, Any], dtype: DType, *, overflow: bool = False) -> np.ndarray[Any, Any]:
    """Return an array in another element type.

    Raises:
        OverflowingError: a finite value has no finite counterpart, or is out of an integer's range.
    """
    import numpy as np

    from .as_numpy import numpy_dtype

    made = np.empty(values.shape, numpy_dtype(dtype))
    lost, worst = 0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for here, there in in_pieces(values, made):
            there[...] = here.astype(made.dtype)
            unfit = None if overflow else _lost(here, there)
            if unfit is not None and unfit.any():
                lost += int(unfit.sum())
                worst = max(worst, float(np.abs(here[unfit].astype(np.complex128)).max()))
    if lost:
        raise OverflowingError(
            f"{lost} values (up to {worst:.3g}) do not fit into {dtype}",
            remedy="cast to a wider type such as bfloat16 or float32, or allow it (!overflow, overflow=True)",
        )
    return made


_PIECE = 1 << 16
SCRATCH_BYTES = 64 * _PIECE
"""What arithmetic on one piece holds, at most: a few intermediate results in the widest type."""


def in_pieces(values: np.ndarray[Any, Any], made: np.ndarray[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the elements of two arrays of one shape in short runs, so that intermediate results stay small."""
    flat, out = values.reshape(-1), made.reshape(-1)
    for at in range(0, flat.size, _PIECE):
        yield flat[at : at + _PIECE], out[at : at + _PIECE]


def _lost(values: np.ndarray[Any, Any], made: np.ndarray[Any, Any]) -> Any:
    """Which values the conversion did not only round; None where it cannot have."""
    import numpy as np

    if made.dtype.kind == "b" or values.dtype.kind == "b":
        return None
    if made.dtype.kind not in "iu":
        wide = np.complex128 if made.dtype.kind == "c" else np.float64
        return ~np.isfinite(made.astype(wide)) & np.isfinite(values.astype(wide))
    limits = np.iinfo(made.dtype)
    if values.dtype.kind not in "iu":
        truncated = np.trunc(values.astype(np.float64))
        return ~((truncated >= float(limits.min)) & (truncated < float(limits.max) + 1))
    held = np.iinfo(values.dtype)
    low, high = max(limits.min, held.min), min(limits.max, held.max)
    return (values < low) | (values > high)


def holds_all(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is also one of `wide`."""
    if wide is narrow or narrow.name == "bool":
        return True
    if wide.is_complex or narrow.is_complex:
        parts = [_COMPLEX_PARTS.get(dtype.name, dtype.name) for dtype in (wide, narrow)]
        return wide.is_complex and all(name in DTYPES for name in parts) and holds_all(*(DTYPES[n] for n in parts))
    a, b = _FLOAT_BITS.get(wide.name), _FLOAT_BITS.get(narrow.name)
    if a and b:
        return a[0] >= b[0] and a[1] >= b[1]
    digits = _integer_bits(narrow)
    if digits is None:
        return False
    if a:
        return digits <= a[1] + 1 and digits < 1 << a[0] - 1
    room = _integer_bits(wide)
    return room is not None and room >= digits and (narrow.name.startswith("u") or not wide.name.startswith("u"))


def cuts_off(wide: DType, narrow: DType) -> bool:
    """Whether values of `narrow` lose what is behind the point in `wide`: floats as whole numbers or booleans."""
    return "float" in narrow.name and "float" not in wide.name and not wide.is_complex


def _integer_bits(dtype: DType) -> int | None:
    """Binary digits of the largest value of an integer type."""
    if not dtype.name.removeprefix("u").removeprefix("int").isdecimal():
        return None
    return dtype.bits if dtype.name.startswith("u") else dtype.bits - 1


def tolerance(dtype: DType) -> float:
    """Return the relative tolerance that rounding in this type explains: four units in the last place."""
    bits = _FLOAT_BITS.get(dtype.name)
    return 0.0 if bits is None else 4.0 * 2.0 ** -bits[1]
