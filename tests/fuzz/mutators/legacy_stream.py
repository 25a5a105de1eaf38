"""The stream of torch before 1.6: one of its five pickles, the counts between storages, or where it ends."""

from __future__ import annotations

import random
import struct

from . import pickle_opcodes, raw


def changed(data: bytes, rng: random.Random, others: tuple[pickle_opcodes.Ops, ...] = ()) -> bytes:
    """One pickle of the stream changed, most often the fourth; or what comes after the pickles."""
    parts, rest = _parts(data)
    if len(parts) < 5 or rng.randrange(10) == 0:
        return raw.changed(data, rng)
    which = rng.choice((0, 1, 2, 3, 3, 3, 3, 4, 4, 5, 5))
    if which == 5:
        how = rng.randrange(4)
        if how == 0:
            rest = struct.pack("<q", rng.choice((0, 1, -1, 4, 1 << 40))) + rest[8:]
        elif how == 1:
            rest = rest[: rng.randint(0, len(rest))]
        elif how == 2:
            rest += rng.randbytes(rng.randint(1, 20))
        else:
            rest = raw.changed(rest, rng)
    elif rng.randrange(12) == 0:
        parts.insert(which, rng.choice(parts))
    else:
        parts[which] = pickle_opcodes.changed(parts[which], rng, others)
    return b"".join(parts) + rest


def _parts(data: bytes) -> tuple[list[bytes], bytes]:
    parts: list[bytes] = []
    while len(parts) < 5:
        found = pickle_opcodes.ops_of(data)
        if found is None:
            break
        rest = found[1]
        parts.append(data[: len(data) - len(rest)])
        data = rest
    return parts, data
