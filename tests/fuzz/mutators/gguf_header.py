"""GGUF: numbers at any place of the header, strings with other lengths, runs doubled and taken out."""

from __future__ import annotations

import random

from . import raw
from .fields import with_field


def changed(data: bytes, rng: random.Random) -> bytes:
    """One to three changes; numbers are changed where small ones stand, since those are counts and types."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        how = rng.randrange(5)
        small = [at for at in range(4, max(len(data) - 4, 4)) if data[at] and data[at + 1 : at + 4] == b"\0\0\0"]
        if how == 0 or not small:
            data = raw.changed(data, rng)
        else:
            at = rng.choice(small[:200])
            values = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 30, 39, 64, 65, 1 << 31, (1 << 32) - 1)
            data = with_field(data, rng, at, (0, rng.choice((4, 8))), values)
    return data
