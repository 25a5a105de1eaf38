"""Sizes as people write them."""

from __future__ import annotations

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def size(text: str) -> int:
    """Return the bytes of `500MB`, `5GB`, `2GiB` or a plain number.

    Raises:
        ValueError: it is none of these, or no byte.
    """
    number = text.rstrip("BKMGIbkmgi ")
    unit = text[len(number) :].strip().upper()
    nbytes = int(float(number) * _UNITS[unit]) if unit in _UNITS else 0
    if nbytes < 1:
        raise ValueError
    return nbytes
