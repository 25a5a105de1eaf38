"""One numpy array in a `.npy` file.

Follows numpy/lib/format.py (magic, version, header length, a Python literal, the elements).
"""

from __future__ import annotations

from ..checkpoint import Checkpoint
from ..errors import ContainerError, LimitError, UnsupportedError, shown
from ..pickles import Dict
from ..sources import Source
from ..tensors import Storage, Tensor
from ..tensors.arrays import NumpyDType, array_tensor
from ..typed import Any
from .base import Format, Opening, Probe
from .npy_literal import read_literal

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 20


def read_array(source: Source) -> Tensor:
    """Return the array as a lazy tensor. Reads the header only.

    Raises:
        ContainerError: the header is broken. UnsupportedError: elements that are no plain numbers.
    """
    start = source.read_at(0, 8)
    if start[:6] != MAGIC:
        raise ContainerError(f"{start[:6]!r} at the beginning", expected="a .npy file")
    width = 2 if start[6] == 1 else 4
    nbytes = int.from_bytes(source.read_at(8, width), "little")
    if nbytes > _LONGEST_HEADER:
        raise LimitError(f"a .npy header of {nbytes} bytes", expected=f"at most {_LONGEST_HEADER}")
    at = 8 + width
    header = _literal(source.read_at(at, nbytes))
    at += nbytes
    descr, shape, fortran = header.get("descr"), header.get("shape"), header.get("fortran_order")
    if not isinstance(shape, tuple) or len(shape) > 64 or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise ContainerError(f"shape {shown(shape, 60)}", expected="a tuple of sizes")
    dtype = NumpyDType(descr) if isinstance(descr, str) else None
    if dtype is None or dtype.dtype is None:
        raise UnsupportedError(f"an array of {shown(descr, 60)}", expected="numbers or booleans")
    size = source.size - at
    storage = Storage("npy", size, source.window(at, size), little_endian=dtype.little_endian)
    made = array_tensor(dtype.dtype, shape, storage, fortran=bool(fortran))
    if made.nbytes != size:
        raise ContainerError(f"{size} bytes of elements", expected=f"{made.nbytes} for shape {list(shape)}")
    return made


def _literal(text: bytes) -> dict[str, Any]:
    header = read_literal(text.decode("latin-1"))
    if not isinstance(header, dict):
        raise ContainerError("the .npy header is no dict")
    return header


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    tensor = read_array(probe.source)
    return Checkpoint(Dict("dict", {"array": tensor}), format="npy", source=probe.source, limits=opening.limits)


FORMAT = Format("npy", lambda probe: probe.head.startswith(MAGIC), _open)
