"""Fingerprints of values that stay the same however the elements are turned, and add up where tensors are joined.

The fingerprint of some elements is the sum of the scrambled bits of each, modulo 2^64. So the slices of a tensor
along one dimension keep theirs when the other dimensions are transposed, permuted or reshaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ...dtypes import DType
from ...errors import WeightliftError
from ...tensors.casting import converted, cuts_off
from ...tensors.computed import Lazy
from ...typed import TYPE_CHECKING, Any
from ...values import dataclass

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_PIECE = 1 << 18  # elements whose scrambled bits are held at once


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What is kept of a tensor's values: a few numbers for each slice, and nothing of the values themselves."""

    shape: tuple[int, ...]
    dims: tuple[int, ...]
    """The dimensions of more than one element."""
    slices: tuple[Array, ...]
    """For each of `dims`, the fingerprints of the slices along it."""
    whole: Array
    """The fingerprint of all elements, as an array of one."""
    digest: bytes
    """Equal for equal elements in the same order, rows first."""
    is_plain: bool
    """Whether all elements are equal, or there is but a zero or one: such values are in many tensors by chance."""

    def along(self, slot: int) -> Array:
        """Return the fingerprints along one of `dims`, by its place there; -1 is for the whole tensor."""
        return self.whole if slot < 0 else self.slices[slot]

    def dim(self, slot: int) -> int:
        """Return the dimension at a place of `dims`; -1 is for the whole tensor."""
        return -1 if slot < 0 else self.dims[slot]


def fingerprint(values: Array) -> Fingerprint:
    """Return the fingerprint of an array."""
    import numpy as np

    values = np.ascontiguousarray(values)
    dims = tuple(d for d, size in enumerate(values.shape) if size != 1)
    bits = _bits(values).reshape([values.shape[d] for d in dims] or [1])
    slices = slice_sums(bits)
    first = bits.reshape(-1)[:1]
    same = not bits.size or bool((bits == first).all())
    small = bits.size == 1 and values.reshape(-1)[0] in (0, 1)
    digest = hashlib.blake2b(values.reshape(-1).view(np.uint8).data, digest_size=16).digest()
    return Fingerprint(
        values.shape,
        dims,
        tuple(slices) if dims else (),
        slices[0].sum(keepdims=True, dtype=np.uint64),
        digest,
        same and (bits.size != 1 or small),
    )


def slice_sums(bits: Array) -> list[Array]:
    """Return, for each dimension of some bits, the fingerprints of the slices along it."""
    import numpy as np

    sums = [np.zeros(size, np.uint64) for size in bits.shape]
    if not bits.size:
        return sums
    rows = max(1, _PIECE * len(bits) // bits.size)
    for start in range(0, len(bits), rows):
        scrambled = _scrambled(bits[start : start + rows])
        sums[0][start : start + rows] = scrambled.reshape(len(scrambled), -1).sum(1, dtype=np.uint64)
        for dim in range(1, bits.ndim):
            others = tuple(d for d in range(bits.ndim) if d != dim)
            sums[dim] += scrambled.sum(others, dtype=np.uint64)
    return sums


def readings(tensor: Lazy, dtypes: set[DType]) -> Iterator[tuple[DType, Array]]:
    """Yield the values of a tensor in each type that a plan would bring them to; none where they cannot be read."""
    try:
        values = tensor.numpy()
    except WeightliftError:
        return
    for dtype in dtypes:
        if not cuts_off(dtype, tensor.dtype) and dtype.is_complex == tensor.dtype.is_complex:
            yield dtype, values if dtype is tensor.dtype else converted(values, dtype, overflow=True)


def _bits(values: Array) -> Array:
    """The bits of every element as an unsigned number; of a wide complex one, of both parts."""
    import numpy as np

    if values.dtype.itemsize <= 8:
        return values.view(f"u{values.dtype.itemsize}")
    real, imaginary = (_scrambled(part.copy().view(np.uint64)) for part in (values.real, values.imag))
    mixed: Array = real + imaginary * np.uint64(3)
    return mixed


def _scrambled(bits: Array) -> Array:
    """The finalizer of splitmix64: neighbouring bits give numbers whose sums have nothing in common."""
    import numpy as np

    mixed = bits.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed
