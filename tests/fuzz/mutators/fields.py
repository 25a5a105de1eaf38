"""Numbers of fixed places in a structure: the record is found by its first bytes, one field gets another value."""

from __future__ import annotations

import random

from . import raw

Field = tuple[int, int]
"""(offset from the beginning of the record, bytes)"""


def places_of(data: bytes, magic: bytes) -> list[int]:
    """Where the magic bytes stand."""
    out, at = [], data.find(magic)
    while at >= 0 and len(out) < 200:
        out.append(at)
        at = data.find(magic, at + 1)
    return out


def with_field(data: bytes, rng: random.Random, at: int, field: Field, values: tuple[int, ...] = ()) -> bytes:
    """The data with one little-endian field changed: to one of `values` sometimes, else to a number near or far."""
    begin, width = at + field[0], field[1]
    old = int.from_bytes(data[begin : begin + width], "little")
    new = rng.choice(values) if values and rng.randrange(2) else raw.number(rng, old, 8 * width)
    return data[:begin] + (new & ((1 << 8 * width) - 1)).to_bytes(width, "little") + data[begin + width :]
