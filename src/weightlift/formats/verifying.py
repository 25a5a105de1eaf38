"""Every byte of a file read once, and held against what the file has to hold it against."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from ..checkpoint import Checkpoint, Progress
from ..containers import Member, ZipArchive
from ..containers.zip_layout import check_all, judged_gaps
from ..containers.zip_records import DEFLATED, ENCRYPTED, STORED
from ..errors import ContainerError, TwoReadingsError, WeightliftError, plural, printable
from ..findings import Finding
from ..sources import Source
from ..tree import storages_in, walk
from ..values import replace
from .base import Probe

_CHUNK = 1 << 20
_MOST_NAMES = 4
Read = Callable[[int], object]
"""Told how many bytes have been read."""


def verify(probe: Probe, checkpoint: Checkpoint, progress: Progress | None = None) -> list[Finding]:
    """Return what is wrong with a file; see `Checkpoint.verify`."""
    read = _counter(probe.source.size, progress)
    findings = [
        finding for finding in checkpoint.own_findings if finding.code in ("trailing-bytes", "unreferenced-bytes")
    ]
    if probe.zip is not None:
        findings = [*findings, *_zip(probe.zip, _Tensors(checkpoint), read)]
    elif checkpoint.format != "sharded":
        findings += _whole(probe.source, read)
        message = f"{checkpoint.format} has no checksums: every byte could be read, none could be checked"
        findings.append(Finding("no-checksums", "info", "", message))
    for name, member in checkpoint.members.items():
        inner = member.verify(progress if probe.zip is None else None)
        findings += [replace(each, where=f"{name}/{each.where}".rstrip("/")) for each in inner]
    return list(dict.fromkeys(findings))


def _counter(total: int, progress: Progress | None) -> Read:
    done = 0

    def read(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        if progress is not None:
            progress(min(done, total), total)

    return read


def _whole(source: Source, read: Read) -> Iterator[Finding]:
    for at in range(0, source.size, _CHUNK):
        try:
            read(len(source.read_up_to(at, _CHUNK)))
        except WeightliftError as error:
            yield Finding("unreadable-bytes", "warning", "", str(error))
            return


def _zip(archive: ZipArchive, tensors: _Tensors, read: Read) -> Iterator[Finding]:
    members = sorted(archive.members.values(), key=lambda member: member.header_offset)
    gaps = []
    for problem in check_all(archive.source, members, archive.directory_at):
        if isinstance(problem, ContainerError):
            yield Finding(getattr(problem, "code", "local-header"), "warning", "", _sentence(problem))
        else:
            gaps.append(problem)
    try:
        yield from judged_gaps(archive.source, gaps)
    except TwoReadingsError as error:
        yield Finding(error.code, "warning", "", _sentence(error))
    for member in members:
        if message := _bad_data(archive, member, read):
            yield Finding("checksum", "warning", member.name, f"{message}{tensors.of(member.name)}")
    without = [member for member in members if member.nbytes and not member.crc]
    if without:
        yield Finding("no-checksums", "note", "", f"{plural(len(without), 'member')} written without a CRC")


def _bad_data(archive: ZipArchive, member: Member, read: Read) -> str:
    """Return what is wrong with a member's bytes, or "". Reads them, in pieces."""
    if member.flags & ENCRYPTED or member.method not in (STORED, DEFLATED):
        return "" if not member.nbytes else f"cannot be checked: compressed by method {member.method}, or encrypted"
    crc = nbytes = 0
    try:
        for piece in _pieces(archive, member, read):
            crc = zlib.crc32(piece, crc)
            nbytes += len(piece)
            if nbytes > member.nbytes:
                return f"inflates to more than the {member.nbytes:,} bytes of the directory"
    except (WeightliftError, zlib.error) as error:
        return _sentence(error)
    if nbytes != member.nbytes:
        return f"inflates to {nbytes:,} bytes, the directory says {member.nbytes:,}"
    if member.crc and crc != member.crc:
        return f"its {nbytes:,} bytes have the CRC {crc:08x}, the directory says {member.crc:08x}"
    return ""


def _pieces(archive: ZipArchive, member: Member, read: Read) -> Iterator[bytes]:
    start = archive.data_offset(member)
    engine = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
    for at in range(0, member.compressed_nbytes, _CHUNK):
        data = archive.source.read_at(start + at, min(_CHUNK, member.compressed_nbytes - at))
        read(len(data))
        if engine is None:
            yield data
            continue
        while data and not engine.eof:
            yield engine.decompress(data, _CHUNK)
            data = engine.unconsumed_tail
        if engine.unused_data or (engine.eof and data):
            raise ContainerError("bytes follow the end of its deflate stream", expected="none")
    if engine is not None:
        yield engine.flush()


def _sentence(error: Exception) -> str:
    return printable(str(error))


class _Tensors:
    """Which tensors lie in which member, by their names; looked up only where something is wrong."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._by_member: dict[str, list[str]] | None = None

    def of(self, member: str) -> str:
        """Return "; holds 'a', 'b'" for a member, or "" where no tensor lies in it."""
        if self._by_member is None:
            self._by_member = self._found()
        names = list(dict.fromkeys(self._by_member.get(member, ())))
        if not names:
            return ""
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return f"; holds {', '.join(map(repr, names[:_MOST_NAMES]))}{more}"

    def _found(self) -> dict[str, list[str]]:
        from ..paths import path_name

        by_member: dict[str, list[str]] = {}
        named = [(key, value) for each in self._checkpoint.state_dicts.values() for key, value in each.items()]
        known = {id(value) for _, value in named}
        beside = [
            (path_name(p), v) for p, v in walk(self._checkpoint.tree) if hasattr(v, "dtype") and id(v) not in known
        ]
        for name, value in [*named, *beside]:
            for storage in storages_in(value):
                if storage.data is not None:
                    by_member.setdefault(storage.data.name, []).append(name)
        return by_member
