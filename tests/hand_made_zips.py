"""Zips written field by field, so that a test can make any of them lie."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from builders import BENIGN, FOUR_FLOATS

ROOT = "archive/"


@dataclass
class Entry:
    """One member. What `local` and `central` name is written there in place of the truth."""

    name: str | bytes
    data: bytes
    method: int = 0
    deferred: bool = False
    local: dict = field(default_factory=dict)
    central: dict = field(default_factory=dict)
    extra: bytes = b""  # in the directory
    descriptor: bytes | None = None
    at: int | None = None  # listed at this byte, and not written itself

    @property
    def raw_name(self) -> bytes:
        """The name as bytes."""
        return self.name if isinstance(self.name, bytes) else self.name.encode()

    @property
    def packed(self) -> bytes:
        """The bytes as they are stored."""
        return zlib.compress(self.data)[2:-4] if self.method == 8 else self.data


def written_at(entry: Entry, fields: dict) -> bytes:
    """The local header, the bytes and the descriptor."""
    flags = 8 if entry.deferred else 0
    crc, packed = zlib.crc32(entry.data), entry.packed
    told = {"name": entry.raw_name, "flags": flags, "method": entry.method, "crc": 0 if entry.deferred else crc}
    told |= {"packed": 0 if entry.deferred else len(packed), "nbytes": 0 if entry.deferred else len(entry.data)}
    told |= fields
    head = struct.pack(
        "<4sHHHHHIIIHH", b"PK\3\4", 20, told["flags"], told["method"], 0, 0, told["crc"], told["packed"],
        told["nbytes"], len(told["name"]), 0,
    )  # fmt: skip
    tail = b"PK\7\10" + struct.pack("<III", crc, len(packed), len(entry.data)) if entry.deferred else b""
    return head + told["name"] + packed + (tail if entry.descriptor is None else entry.descriptor)


def listed(entry: Entry, at: int) -> bytes:
    """The entry of the directory."""
    told = {"flags": 8 if entry.deferred else 0, "method": entry.method, "crc": zlib.crc32(entry.data)}
    told |= {"packed": len(entry.packed), "nbytes": len(entry.data), "at": at} | entry.central
    return struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, told["flags"], told["method"], 0, 0, told["crc"], told["packed"],
        told["nbytes"], len(entry.raw_name), len(entry.extra), 0, 0, 0, 0, told["at"],
    ) + entry.raw_name + entry.extra  # fmt: skip


def end_record(count: int, nbytes: int, offset: int, comment: bytes = b"") -> bytes:
    """The record at the end."""
    return struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, nbytes, offset, len(comment)) + comment


def zip64_record(count: int, nbytes: int, offset: int) -> bytes:
    """The record at the end of a zip64."""
    return struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, nbytes, offset)


def zip_of(
    *entries: Entry,
    count: int | None = None,
    comment: bytes = b"",
    shift: int = 0,
    gaps: dict[int, bytes] | None = None,
) -> bytes:
    """A zip of these members; `gaps` stand before the member of that number, `shift` is added to every offset."""
    body, directory = b"", b""
    for i, entry in enumerate(entries):
        body += (gaps or {}).get(i, b"")
        at = len(body) + shift if entry.at is None else entry.at
        directory += listed(entry, at)
        if entry.at is None:
            body += written_at(entry, entry.local)
    body += (gaps or {}).get(len(entries), b"")
    return body + directory + end_record(
        len(entries) if count is None else count, len(directory), len(body) + shift, comment
    )  # fmt: skip


def torch_entries(pickle: bytes = BENIGN, **storage: object) -> list[Entry]:
    """What torch writes for one tensor of four floats."""
    return [
        Entry(f"{ROOT}data.pkl", pickle),
        Entry(f"{ROOT}byteorder", b"little"),
        Entry(f"{ROOT}data/0", FOUR_FLOATS, **storage),
        Entry(f"{ROOT}version", b"3\n"),
    ]
