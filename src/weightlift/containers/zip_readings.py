"""Each archive that a kind of reader would see in one file: so that all of them can be looked at."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import MalformedError
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Source
from .zip import LooseArchive
from .zip_directory import entries
from .zip_end import TORCH, ZIPFILE, Directory, as_torch_reads, as_zipfile_reads
from .zip_records import DEFERRED, UNICODE_PATH, Member, decoded, extra_field, read_local, zip64_fields


def readings(source: Source, limits: Limits = DEFAULT_LIMITS) -> list[tuple[str, LooseArchive]]:
    """Return (who reads it so, what they see) for each kind of reader that finds members at all.

    torch takes the first of two members of a name, zipfile the last; of a file without tricks both see the
    same. A third reading, by local headers one after the other, is there where it gives other members.
    """
    found = []
    for who, directory in ((TORCH, _tried(as_torch_reads, source)), (ZIPFILE, _tried(as_zipfile_reads, source))):
        members = _members(source, directory, who, limits) if directory is not None else []
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
        size = (local.compressed_nbytes, local.nbytes)
        made.append(Member(local.name, at, *size, local.method, local.crc, local.flags))
        if local.flags & DEFERRED and not local.compressed_nbytes:
            break  # where its data end only the descriptor behind them says
        at = local.data_at + local.compressed_nbytes
    return made
