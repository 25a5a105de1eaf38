"""A zip's local headers held against its directory, and the bytes that belong to no member."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from ..errors import ContainerError, TwoReadingsError, plural
from ..findings import Finding
from ..sources import Source
from ..typed import TypeAlias
from .zip_directory import overlapping
from .zip_records import (
    DEFERRED,
    FULL32,
    STORED,
    TELLING,
    Local,
    Member,
    data_behind_same,
    descriptor_nbytes,
    read_local,
)

Gap: TypeAlias = tuple[int, int]
"""Where bytes lie that belong to no member: the first of them, and how many."""

_READ = 1 << 16
_MOST_GAPS = 8


def checked_local(source: Source, member: Member, starts: list[int], directory_at: int) -> int:
    """Return where a member's bytes begin by its local header, which says what the directory says.

    Raises:
        TwoReadingsError: they disagree; says in what. ContainerError: there is no header.
    """
    data_at = data_behind_same(source, member)
    if data_at is None:
        data_at = _compared(source, member).data_at
    end, following = data_at + member.compressed_nbytes, next_start(member, starts, directory_at)
    if end > following:
        raise ContainerError(
            f"{member.name!r} ends at byte {end}, the next begins at byte {following}",
            expected="bytes of its own for each member",
        )
    return data_at


def _compared(source: Source, member: Member) -> Local:
    """Return the local header of a member, held against the directory field by field."""
    name = member.name
    local = read_local(source, member.header_offset)
    if local is None:
        raise ContainerError(f"no local header of {name!r} at byte {member.header_offset}")
    if local.name != name:
        raise _disagreeing(member, "is called", f"{local.name!r}", "so")
    deferred = local.flags & DEFERRED  # sizes and CRC follow the data, the local ones may be zero
    for found, listed in (
        (local.compressed_nbytes, member.compressed_nbytes),
        (local.nbytes, member.nbytes),
    ):
        if found != listed and not (deferred and found in (0, FULL32)):
            raise _disagreeing(member, "has", f"{found} bytes", f"{listed} bytes")
    if local.method != member.method:
        raise _disagreeing(member, "is compressed by method", f"{local.method}", f"{member.method}")
    if (local.flags ^ member.flags) & TELLING:
        raise _disagreeing(member, "has the flags", f"{local.flags:#06x}", f"{member.flags:#06x}")
    if local.crc != member.crc and not (deferred and local.crc == 0):
        raise _disagreeing(member, "has the CRC", f"{local.crc:08x}", f"{member.crc:08x}")
    if member.method == STORED and member.nbytes != member.compressed_nbytes:
        raise ContainerError(f"{name!r} is stored as {member.compressed_nbytes} bytes", expected=f"{member.nbytes}")
    return local


def next_start(member: Member, starts: list[int], directory_at: int) -> int:
    """Return where the next member's header stands, or the directory."""
    at = bisect_right(starts, member.header_offset)
    return starts[at] if at < len(starts) else directory_at


def check_all(source: Source, members: Iterable[Member], directory_at: int) -> Iterator[ContainerError | Gap]:
    """Yield everything that is not as the directory says, member by member, and where bytes belong to none.

    Reads every local header, no data.
    """
    ordered = sorted(members, key=lambda member: member.header_offset)
    starts = [member.header_offset for member in ordered]
    if ordered and starts[0] > 0:
        yield 0, starts[0]
    for member, after in zip(ordered, [*ordered[1:], None], strict=True):
        following = directory_at if after is None else after.header_offset
        if after is not None and following == member.header_offset:
            yield overlapping(member, after)
        try:
            end = checked_local(source, member, starts, directory_at) + member.compressed_nbytes
        except ContainerError as error:
            yield error
            continue
        if member.flags & DEFERRED:
            nbytes = descriptor_nbytes(source, end, member)
            if nbytes is None:
                yield _no_descriptor(end, member)
            end += nbytes or 0
        if end < following:
            yield end, following - end


def unreferenced(source: Source, gaps: Iterable[tuple[Member | None, int, int]]) -> Iterator[Gap]:
    """Yield what belongs to no member in gaps, (member before, begin, end)."""
    for before, begin, end in gaps:
        at = begin
        if before is not None and (local := read_local(source, before.header_offset)) is not None:
            at = local.data_at + before.compressed_nbytes
            if before.flags & DEFERRED:
                at += descriptor_nbytes(source, at, before) or 0
        if at < end:
            yield at, end - at


def judged_gaps(source: Source, found: Iterable[Gap]) -> tuple[Finding, ...]:
    """Return what there is to say of bytes that belong to no member.

    Raises:
        TwoReadingsError: a local header stands there, of a member that the directory does not list.
    """
    findings: list[Finding] = []
    left_out = nbytes_left_out = 0
    for at, nbytes in found:
        hidden = read_local(source, at)
        if hidden is not None:
            raise TwoReadingsError(
                f"{nbytes} bytes at byte {at} belong to no member of the directory and begin as one",
                code="unlisted-member",
                readings=(
                    "readers by the directory, torch and Python's zipfile among them, do not see it",
                    f"readers by local headers see {hidden.name!r}, {hidden.nbytes} bytes",
                ),
                expected="every member in the directory",
            )
        if len(findings) < _MOST_GAPS:
            findings.append(_gap(source, at, nbytes))
        else:
            left_out, nbytes_left_out = left_out + 1, nbytes_left_out + nbytes
    if left_out:
        message = f"{nbytes_left_out:,} more bytes in {plural(left_out, 'place')} belong to no member"
        findings.append(Finding("unreferenced-bytes", "warning", "", message))
    return tuple(findings)


def _gap(source: Source, at: int, nbytes: int) -> Finding:
    begin = source.read_up_to(at, min(nbytes, _READ))
    padding = nbytes <= _READ and not begin.strip(b"\0")
    what = "zero bytes" if padding else "bytes"
    return Finding(
        "unreferenced-bytes",
        "note" if padding else "warning",
        "",
        f"{nbytes:,} {what} at byte {at:,} belong to no member",
    )


def _no_descriptor(at: int, member: Member) -> ContainerError:
    return TwoReadingsError(
        f"{member.name!r} has no data descriptor at byte {at} that repeats its sizes and CRC",
        code="data-descriptor",
        readings=(
            f"readers by the directory take {member.compressed_nbytes} bytes",
            "readers by local headers look for the descriptor to know where its data end",
        ),
        expected="what the directory says",
    )


def _disagreeing(member: Member, verb: str, local: str, listed: str) -> TwoReadingsError:
    listed_as = f"{member.name!r}, {member.nbytes} bytes by method {member.method}, CRC {member.crc:08x}"
    return TwoReadingsError(
        f"{member.name!r} {verb} {local} in its local header and {listed} in the directory",
        code="local-header",
        readings=(
            f"readers by the directory (torch, Python's zipfile) take {listed_as}",
            f"readers by local headers (unpacking a stream) go by byte {member.header_offset}: {local}",
        ),
        expected="one answer",
    )
