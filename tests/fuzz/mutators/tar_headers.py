"""Tars: fields of a header with its checksum put right, blocks doubled, moved and cut; the pickles inside."""

from __future__ import annotations

import random

from . import pickle_opcodes, raw

_BLOCK = 512
_FIELDS = (
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (156, 1),
    (157, 100),
    (257, 6),
    (263, 2),
    (345, 155),
)
_VALUES = (b"0", b"777", b"00000000010", b"77777777777", b"-1", b"", b"\x80\0\0\0\0\0\0\0\0\0\0\x08", b"\xff" * 12,
           b"x", b"g", b"L", b"K", b"S", b"1", b"5", b"storages", b"tensors", b"pickle", b"../a", b"ustar\0", b"ustar ")  # fmt: skip


def changed(data: bytes, rng: random.Random, others: tuple[pickle_opcodes.Ops, ...] = ()) -> bytes:
    """One or two changes."""
    for _ in range(rng.choice((1, 1, 2))):
        how = rng.randrange(6)
        headers = [at for at in range(0, len(data) - 511, _BLOCK) if data[at + 257 : at + 262] == b"ustar"]
        if how == 0 or not headers:
            data = raw.changed(data, rng)
            continue
        at = rng.choice(headers)
        if how == 1:
            begin = rng.randrange(0, len(data), _BLOCK)
            data = data[:begin] + data[at : at + rng.choice((512, 1024))] + data[begin:]
        elif how in (2, 3):
            data = _with_content(data, rng, at, others)
        else:
            data = _with_field(data, rng, at)
    return data


def _with_field(data: bytes, rng: random.Random, at: int) -> bytes:
    header = bytearray(data[at : at + _BLOCK])
    begin, width = rng.choice(_FIELDS)
    value = rng.choice(_VALUES) if rng.randrange(2) else raw.changed(bytes(header[begin : begin + width]), rng)
    header[begin : begin + width] = value[:width].ljust(width, b"\0")
    return data[:at] + _summed(header) + data[at + _BLOCK :]


def _with_content(data: bytes, rng: random.Random, at: int, others: tuple[pickle_opcodes.Ops, ...]) -> bytes:
    """What a member holds, changed as a pickle, with its size and checksum put right."""
    digits = data[at + 124 : at + 135].strip(b"\0 ")
    size = int(digits, 8) if digits.isdigit() and not digits.strip(b"01234567") else 0
    content = data[at + _BLOCK : at + _BLOCK + size]
    new = pickle_opcodes.changed(content, rng, others)
    header = bytearray(data[at : at + _BLOCK])
    header[124:136] = f"{len(new):011o}\0".encode()
    rest = data[at + _BLOCK + -(-size // _BLOCK) * _BLOCK :]
    return data[:at] + _summed(header) + new + bytes(-len(new) % _BLOCK) + rest


def _summed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)
