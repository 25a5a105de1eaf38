"""`.npy` files: an array of objects is a header and a pickle."""

from __future__ import annotations

from ..sources import Source
from .gathered import Gathered
from .pickled import ScanInner, scan_pickles

_LONGEST_HEADER = 1 << 20


def scan_npy(source: Source, where: str, gathered: Gathered, inner: ScanInner) -> bool:
    """Look at the pickle of an array of objects; numbers are not looked at. True: it is an array."""
    width = 2 if source.read_at(6, 1) == b"\1" else 4
    nbytes = int.from_bytes(source.read_at(8, width), "little")
    at = 8 + width + nbytes
    if nbytes > _LONGEST_HEADER or at > source.size:
        gathered.unreadable("malformed", where, f"a .npy header of {nbytes} bytes")
        return True
    header = source.read_at(8 + width, nbytes)
    if has_objects(header) and at < source.size:
        seen = scan_pickles(source, where, gathered, inner, at)
        if seen and not where:
            gathered.own_format = "npy"
        if not seen:
            gathered.unreadable("malformed", where, "an array of objects without a pickle", at)
    return True


def has_objects(header: bytes) -> bool:
    """Whether the description of the elements, a Python literal, names objects: numpy unpickles those."""
    return any(sign in header for sign in (b"|O", b"'O", b'"O', b"object"))
