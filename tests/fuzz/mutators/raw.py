"""Changes that know of no structure: bits, runs of bytes, numbers; the others use them for their leaves."""

from __future__ import annotations

import random

_EDGES = (0, 1, 2, 3, 4, 7, 8, 16, 63, 64, 127, 128, 255, 256, 4096, 65535, 65536)


def number(rng: random.Random, value: int, bits: int) -> int:
    """A number near, at an edge, or anywhere, that fits the bits without a sign."""
    most = (1 << bits) - 1
    how = rng.randrange(6)
    if how == 0:
        made = value + rng.choice((-1, 1, -8, 8))
    elif how == 1:
        made = rng.choice(_EDGES)
    elif how == 2:
        made = most - rng.choice(_EDGES)
    elif how == 3:
        made = (1 << rng.randrange(bits)) + rng.choice((-1, 0, 1))
    elif how == 4:
        made = value ^ (1 << rng.randrange(bits))
    else:
        made = rng.getrandbits(bits)
    return made & most


def changed(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of bits, bytes and runs."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        how = rng.randrange(6)
        if how == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif how == 1 and out:
            out[at % len(out)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif how == 2:
            del out[at : at + rng.choice((1, 2, 4, 8, rng.randint(1, 64)))]
        elif how == 3:
            out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8)))
        elif how == 4:
            begin = rng.randrange(len(out) + 1)
            out[at:at] = out[begin : begin + rng.randint(1, 64)]
        else:
            width = rng.choice((2, 4, 8))
            if at + width <= len(out):
                order = rng.choice(("little", "big"))
                value = int.from_bytes(out[at : at + width], order)
                out[at : at + width] = number(rng, value, 8 * width).to_bytes(width, order)
    return bytes(out)


def text(rng: random.Random, value: str) -> str:
    """Another text: cut, doubled, or with something odd in it."""
    at = rng.randint(0, len(value))
    odd = rng.choice(
        ("", ".", "/", "../", "\\", "\0", "\n", "\x1b[2J", "\ud800", "é", " ", "0", "-1", "__class__", "$")
    )
    how = rng.randrange(5)
    if how == 0:
        return value[:at]
    if how == 1:
        return value[:at] + odd + value[at:]
    if how == 2:
        return odd
    if how == 3:
        return value * rng.choice((2, 40))
    return value[:at] + chr(rng.randrange(0x110000)) + value[at + 1 :]
