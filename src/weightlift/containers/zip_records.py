"""The records of a zip as they lie in the file: structures, and what an end record and a header say.

Follows PKWARE's APPNOTE 6.3.9 (local header 4.3.7, central directory 4.3.12, zip64 4.5.3).
"""

from __future__ import annotations

from struct import Struct

from ..errors import ContainerError
from ..sources import Source
from ..values import dataclass

LOCAL = Struct("<4sHHHHHIIIHH")
CENTRAL = Struct("<4s6H3I5H2I")
END = Struct("<4s4H2IH")
END64 = Struct("<4sQ2H2I4Q")
LOCATOR64 = Struct("<4sIQI")
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
ENCRYPTED, DEFERRED, UTF8 = 0x1, 0x8, 0x800
TELLING = ENCRYPTED | DEFERRED | 0x40 | UTF8 | 0x2000
"""Flags that change what a reader makes of a member; the others describe how hard it was compressed."""
STORED, DEFLATED = 0, 8
ZIP64, UNICODE_PATH = 0x0001, 0x7075


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive, as the central directory tells it. Sizes are bytes."""

    name: str
    header_offset: int
    compressed_nbytes: int
    nbytes: int
    method: int
    crc: int
    flags: int


@dataclass(frozen=True, slots=True)
class Local:
    """What a member's local header says, and where its bytes begin. Sizes are bytes."""

    name: str
    compressed_nbytes: int
    nbytes: int
    method: int
    crc: int
    flags: int
    data_at: int


def decoded(raw_name: bytes, flags: int) -> str:
    """Return a member's name as text."""
    return raw_name.decode("utf-8" if flags & UTF8 else "cp437", "backslashreplace")


def read_local(source: Source, at: int) -> Local | None:
    """Return the local header at a byte, or None where there is none."""
    head = source.read_up_to(at, LOCAL.size + 256)  # the header with a name and extra field of ordinary length
    if head[:4] != b"PK\3\4" or len(head) < LOCAL.size:
        return None
    _, _, flags, method, _, _, crc, packed, nbytes, n_name, n_extra = LOCAL.unpack_from(head)
    rest = LOCAL.size + n_name + n_extra
    if len(head) < rest:
        head = source.read_up_to(at, rest)
    raw_name = head[LOCAL.size : LOCAL.size + n_name]
    if FULL32 in (packed, nbytes):
        nbytes, packed, _ = zip64_fields(head[LOCAL.size + n_name : rest], nbytes, packed, 0)
    return Local(decoded(raw_name, flags), packed, nbytes, method, crc, flags, at + rest)


def data_behind_same(source: Source, member: Member) -> int | None:
    """Return where the bytes of a stored member begin whose local header repeats what the directory says of it.

    Sizes and CRC may be left to the data descriptor, as torch does. Nearly all headers are so, and an archive has
    as many as a model has tensors. None where this one has to be looked at field by field.
    """
    name = member.name.encode("utf-8", "replace")
    head = source.read_up_to(member.header_offset, LOCAL.size + len(name))
    if len(head) < LOCAL.size or head[LOCAL.size :] != name or not name.isascii():
        return None
    magic, _, flags, method, _, _, crc, packed, nbytes, n_name, n_extra = LOCAL.unpack_from(head)
    if (magic, flags, method, n_name) != (b"PK\3\4", member.flags, member.method, len(name)):
        return None
    size = member.nbytes
    if method != STORED or member.compressed_nbytes != size or size >= FULL32:
        return None
    if (crc, packed, nbytes) != (member.crc, size, size) and not (flags & DEFERRED and crc == packed == nbytes == 0):
        return None
    data_at: int = member.header_offset + LOCAL.size + n_name + n_extra
    return data_at


def extra_field(extra: bytes, wanted: int) -> bytes | None:
    """Return the content of the first extra field of a kind, or None."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = int.from_bytes(extra[at : at + 2], "little"), int.from_bytes(extra[at + 2 : at + 4], "little")
        if kind == wanted:
            return extra[at + 4 : at + 4 + size]
        at += 4 + size
    return None


def zip64_fields(extra: bytes, nbytes: int, packed: int, header: int) -> tuple[int, int, int]:
    """Fill in those of the three that are too big for 32 bits from the zip64 extra field."""
    field = extra_field(extra, ZIP64)
    if field is None:
        return nbytes, packed, header
    words = [int.from_bytes(field[p : p + 8], "little") for p in range(0, len(field) - 7, 8)]
    values = [nbytes, packed, header]
    for i, value in enumerate(values):
        if value == FULL32:
            if not words:
                raise ContainerError("a zip64 field is too short for the sizes it stands for")
            values[i] = words.pop(0)
    return values[0], values[1], values[2]


def descriptor_nbytes(source: Source, at: int, member: Member) -> int | None:
    """Return how long the data descriptor is that stands at a byte after a member's data.

    It has 12 to 24 bytes: a signature or none, sizes of 4 or of 8 bytes. None where none of these repeats
    what the directory says of the member.
    """
    found = source.read_up_to(at, 24)
    crc = member.crc.to_bytes(4, "little")
    for signature in (b"PK\7\10", b""):
        for width in (8, 4):
            try:
                sizes = [n.to_bytes(width, "little") for n in (member.compressed_nbytes, member.nbytes)]
            except OverflowError:
                continue
            wanted = signature + crc + b"".join(sizes)
            if found.startswith(wanted):
                return len(wanted)
    return None
