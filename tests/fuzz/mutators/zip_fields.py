"""Zips: any field of local headers, the central directory and the three end records; names; records doubled."""

from __future__ import annotations

import random

from . import raw
from .fields import places_of, with_field

# magic -> its fields: (offset, bytes)
RECORDS = {
    b"PK\3\4": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\1\2": ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4)),
    b"PK\5\6": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\6\6": ((4, 8), (12, 2), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8), (48, 8)),
    b"PK\6\7": ((4, 4), (8, 8), (16, 4)),
    b"PK\7\x08": ((4, 4), (8, 4), (12, 4)),
}
_NAMED = {b"PK\3\4": (30, 26), b"PK\1\2": (46, 28)}  # where the name begins, where its length stands


def changed(data: bytes, rng: random.Random) -> bytes:
    """One to three changes."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = _changed(data, rng)
    return data


def _changed(data: bytes, rng: random.Random) -> bytes:
    magic = rng.choice((b"PK\3\4", b"PK\1\2", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08"))
    places = places_of(data, magic)
    how = rng.randrange(8)
    if not places or how == 0:
        return raw.changed(data, rng)
    at = rng.choice(places)
    if how == 1 and magic in _NAMED:
        return _renamed(data, rng, at, *_NAMED[magic])
    if how == 2:
        end = at + rng.choice((22, 30, 46, 56, 80))
        where = rng.choice((0, at, len(data), *places))
        return data[:where] + data[at:end] + data[where:]
    values = (0, 8, 0x800, 0xFFFF, 0xFFFFFFFF, len(data), *places_of(data, b"PK\3\4")[:4], *places[:2])
    return with_field(data, rng, at, rng.choice(RECORDS[magic]), values)


def _renamed(data: bytes, rng: random.Random, at: int, begin: int, length_at: int) -> bytes:
    """A name of the same length: with one byte changed, or that of another member."""
    length = int.from_bytes(data[at + length_at : at + length_at + 2], "little")
    begin += at
    name = bytearray(data[begin : begin + length])
    if name:
        name[rng.randrange(len(name))] = rng.choice(b"/\\.\0\nax\xff0")
    return data[:begin] + bytes(name) + data[begin + length :]
