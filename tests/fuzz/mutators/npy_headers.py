""".npy: the literal in the header, its length, the version; of a zip of them, one member or the zip itself."""

from __future__ import annotations

import random
import struct

from . import raw, zip_fields

_PIECES = (b"(", b")", b"[", b"]", b"{", b"}", b",", b":", b"'", b'"', b"\\", b"-", b"+", b"1j", b"9" * 40, b"L", b"None",
           b"True", b"'descr'", b"'shape'", b"'fortran_order'", b"'<f4'", b"'|O'", b"'>i8'", b"0x7f", b"1e9", b"#", b"\n",
           b"('a', '<f4')", b"b''", b"\x00", b"set()", b"...", b"f''", b"(3,)", b"()")  # fmt: skip


def changed(data: bytes, rng: random.Random) -> bytes:
    """A header with pieces put in, taken out and replaced, its length put right; else changed bytes."""
    if data[:2] == b"PK":
        return zip_fields.changed(data, rng)
    if data[:6] != b"\x93NUMPY" or len(data) < 12 or rng.randrange(8) == 0:
        return raw.changed(data, rng)
    width = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    header, rest = data[8 + width : 8 + width + length], data[8 + width + length :]
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(header))
        end = at + rng.choice((0, 0, 1, 3, 8))
        header = header[:at] + rng.choice(_PIECES) * rng.choice((1, 1, 1, 3, 200)) + header[end:]
    if rng.randrange(10) == 0:
        rest = rest[: rng.randint(0, len(rest))]
    return (
        data[:6] + bytes((rng.choice((1, 2, 3)) if width == 4 else 1, 0)) + _length(width, len(header)) + header + rest
    )


def _length(width: int, value: int) -> bytes:
    return struct.pack("<I", value)[:width]
