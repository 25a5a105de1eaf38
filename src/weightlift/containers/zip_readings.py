"""Each archive that a kind of reader would see in one file: so that all of them can be looked at."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from ..errors import MalformedError
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Source
from .zip import LooseArchive
from .zip_directory import entries
from .zip_end import TORCH, ZIPFILE, Directory, as_torch_reads, as_zipfile_reads, other_directories
from .zip_records import (
    DEFERRED,
    DEFLATED,
    UNICODE_PATH,
    Local,
    Member,
    decoded,
    descriptor_nbytes,
    extra_field,
    read_local,
    zip64_fields,
)

_CHUNK = 1 << 16
_SHORTEST_DESCRIPTOR = 12
_DESCRIPTOR = b"PK\7\10"


def readings(source: Source, limits: Limits = DEFAULT_LIMITS) -> list[tuple[str, LooseArchive]]:
    """Return (who reads it so, what they see) for each kind of reader that finds members at all.

    torch takes the first of two members of a name, zipfile the last; of a file without tricks both see the
    same. Others are there where they give other members: by another end record, and by local headers one after
    the other.
    """
    found = []
    pairs = [(TORCH, _tried(as_torch_reads, source)), (ZIPFILE, _tried(as_zipfile_reads, source))]
    wanted = [(who, directory) for who, directory in pairs if directory is not None]
    taken = {(directory.offset, directory.shift) for _, directory in wanted}
    for directory in other_directories(source):
        if (directory.offset, directory.shift) not in taken:
            taken.add((directory.offset, directory.shift))
            wanted.append((f"readers by the end record at byte {directory.record_at}", directory))
    for who, directory in wanted:
        members = _members(source, directory, who, limits)
        if members:
            found.append((who, LooseArchive(source, members, last_wins=who == ZIPFILE, limits=limits)))
    streamed = _streamed(source, limits)
    listed = {member.header_offset for _, archive in found for member in archive.entries}
    if any(member.header_offset not in listed or member.name not in found[0][1] for member in streamed):
        found.append(("readers by local headers", LooseArchive(source, streamed, last_wins=True, limits=limits)))
    return found


def _tried(find: Callable[[Source], Directory | None], source: Source) -> Directory | None:
    try:
        return find(source)
    except MalformedError:
        return None


def _members(source: Source, directory: Directory, who: str, limits: Limits) -> list[Member]:
    """The members of a directory, as many as can be made out of it; zipfile goes by its size, torch by the count."""
    nbytes = min(directory.nbytes, limits.header_bytes)
    if directory.offset < 0:
        return []
    made: list[Member] = []
    for fields, raw_name, extra in entries(source.read_up_to(directory.offset, nbytes)):
        if len(made) >= (limits.members if who == ZIPFILE else min(directory.count, limits.members)):
            break
        flags, method, crc, packed, size, header = (fields[i] for i in (3, 4, 7, 8, 9, 16))
        try:
            size, packed, header = zip64_fields(extra, size, packed, header)
        except MalformedError:
            continue
        name = decoded(raw_name, flags)
        if who == ZIPFILE:
            other = extra_field(extra, UNICODE_PATH)
            name = (other[5:].decode("utf-8", "backslashreplace") if other else name).partition("\0")[0]
        made.append(Member(name, header + directory.shift, packed, size, method, crc, flags))
    return made


def _streamed(source: Source, limits: Limits) -> list[Member]:
    """The members that stand one after the other from the first byte on, by their local headers."""
    made: list[Member] = []
    at = 0
    while len(made) < limits.members and (local := read_local(source, at)) is not None:
        packed, nbytes = local.compressed_nbytes, local.nbytes
        deferred = local.flags & DEFERRED
        if deferred and not packed:
            packed, nbytes = _inflated(source, local, limits)
        if packed > source.size - local.data_at:  # it breaks off
            packed = source.size - local.data_at
            nbytes = packed if local.method != DEFLATED else nbytes
        member = Member(local.name, at, packed, nbytes, local.method, local.crc, local.flags)
        made.append(member)
        at = local.data_at + packed
        if deferred:
            at += descriptor_nbytes(source, at, member) or _SHORTEST_DESCRIPTOR
    return made


def _inflated(source: Source, local: Local, limits: Limits) -> tuple[int, int]:
    """Return how many bytes a member takes and gives whose end only its data tell: (compressed, inflated)."""
    if local.method != DEFLATED:
        nbytes = _stored(source, local.data_at)
        return nbytes, nbytes
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    fed = nbytes = 0
    while not engine.eof and nbytes < limits.inflated_bytes:
        data = engine.unconsumed_tail
        if not data:
            data = source.read_up_to(local.data_at + fed, _CHUNK)
            fed += len(data)
        try:
            piece = engine.decompress(data, _CHUNK)
        except zlib.error:
            break
        nbytes += len(piece)
        if not piece and not data:
            break
    return fed - len(engine.unused_data), nbytes


def _stored(source: Source, begin: int) -> int:
    """Return how many bytes stand before a descriptor that says just so many, else all that are left."""
    for start in range(begin, source.size, _CHUNK):
        data = source.read_up_to(start, _CHUNK + _SHORTEST_DESCRIPTOR)
        at = data.find(_DESCRIPTOR)
        while at >= 0:
            nbytes = start + at - begin
            if int.from_bytes(data[at + 8 : at + 12], "little") == nbytes % (1 << 32):
                return nbytes
            at = data.find(_DESCRIPTOR, at + 1)
    return source.size - begin
