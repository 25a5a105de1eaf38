"""`.npy` files: an array of objects is a header and a pickle."""

from __future__ import annotations

from ..errors import ContainerError
from ..formats.npy_literal import read_literal
from ..sources import Source
from ..typed import Any
from .element_types import NOT_PLAIN, element_nbytes
from .gathered import Gathered
from .pickled import ScanInner, scan_pickles

_LONGEST_HEADER = 1 << 18


def scan_npy(source: Source, where: str, gathered: Gathered, inner: ScanInner) -> bool:
    """Look at the pickle of an array of objects; numbers and texts are not looked at. True: it is an array."""
    width = 2 if source.read_at(6, 1) == b"\1" else 4
    nbytes = int.from_bytes(source.read_at(8, width), "little")
    at = 8 + width + nbytes
    if nbytes > _LONGEST_HEADER or at > source.size:
        gathered.unreadable("malformed", where, f"a .npy header of {nbytes} bytes")
        return True
    end = end_of_elements(source.read_at(8 + width, nbytes), at)
    if end is None:
        seen = scan_pickles(source, where, gathered, inner, at)
        if not seen:
            gathered.unreadable("malformed", where, "an array of objects, as far as is known, without a pickle", at)
            return True
        end = seen[-1].end if seen[-1].error is None else source.size
    elif end > source.size:
        gathered.unreadable("malformed", where, f"elements up to byte {end}, past the end", at)
    if not where:
        gathered.own_format = "npy"
    if end < source.size:
        _look_behind(source, end, where, gathered, inner)
    return True


def _look_behind(source: Source, end: int, where: str, gathered: Gathered, inner: ScanInner) -> None:
    """Look into what follows an array: `numpy.load` of an open file takes it next."""
    nbytes = source.size - end
    gathered.note("trailing-bytes", where, f"{nbytes} bytes follow the array", end)
    gathered.depth += 1
    inner(source.window(end, nbytes), f"{where}: bytes from {end}" if where else f"bytes from {end}", gathered)
    gathered.depth -= 1


def end_of_elements(header: bytes, at: int) -> int | None:
    """Return where the elements end that begin at `at`, None where they are objects or could be.

    The header is a Python literal. What is no literal here can be one to numpy.
    """
    try:
        told: Any = read_literal(header.decode("latin-1"))
    except ContainerError:
        return None
    if not isinstance(told, dict) or told.keys() != {"descr", "fortran_order", "shape"}:
        return None
    shape = told["shape"]
    nbytes = element_nbytes(told["descr"])
    if nbytes == NOT_PLAIN or not isinstance(shape, tuple) or len(shape) > 64:
        return None
    for size in shape:
        if type(size) is not int or not 0 <= size < 1 << 63:
            return None
        nbytes *= size
    return at + nbytes
