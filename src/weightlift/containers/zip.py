"""A zip's members as sources, strictly: what two readers could see differently is an error here.

Own reader, since a member's byte range is what everything above needs and the standard library hides
it behind file objects.
"""

from __future__ import annotations

import zlib

from ..errors import ContainerError, LimitError, UnsupportedError
from ..findings import Finding
from ..limits import DEFAULT_LIMITS, MIB, Limits
from ..sources import Inflated, Source, Told, wrong_crc
from .zip_directory import Members
from .zip_end import find_directory
from .zip_layout import checked_local, judged_gaps, unreferenced
from .zip_records import DEFLATED, ENCRYPTED, STORED, Member, read_local

_ANY_INFLATED = 8 * MIB  # to be held of a compressed member, however small it is in the file
_INFLATED_PER_BYTE = 32  # for each byte that it takes there
_SMALL = MIB  # a stored member up to here is held against its CRC whenever it is read whole


class ZipArchive:
    """The members of a zip by name; their bytes are read when asked for.

    `findings` is what is worth telling of its layout: bytes that belong to no member.
    """

    strict = True
    findings: tuple[Finding, ...] = ()

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> None:
        """Reads the end record and the central directory, and local headers beside unusually large gaps.

        Raises:
            TwoReadingsError: two readers would see two archives; says who takes what. ContainerError,
            TruncatedError: the directory contradicts itself. LimitError: it is larger than `limits`.
        """
        self.source = source
        self.limits = limits
        directory = find_directory(source)
        if directory.count > limits.members:
            raise LimitError(f"the archive lists {directory.count} members", expected=f"at most {limits.members}")
        if directory.nbytes > limits.header_bytes:
            raise LimitError(
                f"the zip directory takes {directory.nbytes} bytes", expected=f"at most {limits.header_bytes}"
            )
        self.directory_at = directory.offset
        read = Members(source.read_at(directory.offset, directory.nbytes), directory)
        self.members = read.by_name
        self._starts = read.starts
        if read.gaps:
            self.findings = judged_gaps(source, unreferenced(source, read.gaps))
        if directory.comment_nbytes:
            message = f"a comment of {directory.comment_nbytes:,} bytes at the end"
            self.findings += (Finding("zip-comment", "note", "", message),)

    def names(self) -> list[str]:
        """Member names in the order of the directory."""
        return list(self.members)

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def open(self, name: str, *, checked: bool = False) -> Source:
        """Return the bytes of a member as a source: where they lie in the file, or inflated as read.

        Reads nothing yet; the local header is checked when the first bytes are. Whoever reads a small or
        compressed member whole, from its beginning, gets an error in place of bytes with another CRC;
        `checked` asks that of a large one too.

        Raises:
            ContainerError: the local header contradicts the directory.
            UnsupportedError: the member is encrypted or compressed in another way than deflate.
        """
        member = self.members.get(name)
        if member is None:
            raise ContainerError(f"no member {name!r}", expected="a complete archive", remedy="fetch or save it again")
        return self.open_member(member, checked=checked)

    def open_member(self, member: Member, *, checked: bool = False, told: Told | None = None) -> Source:
        """Return the bytes of one member as a source; see `open`. A wrong CRC is `told` where that is given."""
        if member.flags & ENCRYPTED:
            raise UnsupportedError(f"{member.name!r} is encrypted", remedy="decrypt the archive first")
        if member.method not in (STORED, DEFLATED):
            raise UnsupportedError(
                f"{member.name!r} is compressed by method {member.method}", expected="stored or deflated"
            )
        crc = member.crc if self.strict and member.crc else None  # 0: written without, which torch can be told to
        if member.method == STORED:
            return _Stored(self, member, crc if checked or member.nbytes <= _SMALL else None, told)
        return Inflated(_Stored(self, member, None), member.nbytes, member.name, crc, told)

    def read(self, name: str) -> bytes:
        """Return all bytes of a small member.

        Raises:
            ChecksumError: they have another CRC than the directory says. LimitError: they are too many.
        """
        source = self.open(name, checked=True)
        most = self.limits.inflated_bytes
        if source.density < 1:
            most = min(most, _ANY_INFLATED + int(_INFLATED_PER_BYTE * source.density * source.size))
        if source.size > most:
            raise LimitError(
                f"{name!r} is {source.size} bytes", expected=f"at most {most}", remedy="raise Limits.inflated_bytes"
            )
        return source.read_at(0, source.size)

    def data_offset(self, member: Member) -> int:
        """Where the member's bytes begin; reads its local header and holds it against the directory."""
        return checked_local(self.source, member, self._starts, self.directory_at)


class LooseArchive(ZipArchive):
    """What one kind of reader makes of a zip, right or wrong: for looking at what it would be given.

    `entries` are all members, those of one name too; of these `members` has the one that the reader takes.
    Nothing is held against anything, no CRC is checked.
    """

    strict = False

    def __init__(self, source: Source, entries: list[Member], *, last_wins: bool, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.directory_at = source.size
        self.entries = entries
        ordered = entries if last_wins else reversed(entries)
        taken = {member.name: member for member in ordered}
        self.members = {name: taken[name] for name in dict.fromkeys(member.name for member in entries)}

    def data_offset(self, member: Member) -> int:
        """Where the member's bytes begin by its local header, whatever else that says."""
        local = read_local(self.source, member.header_offset)
        if local is None:
            raise ContainerError(f"no local header of {member.name!r} at byte {member.header_offset}")
        return local.data_at


class _Stored(Source):
    """A member's bytes as they lie in the archive; where that is, its local header says when asked."""

    __slots__ = ("_archive", "_crc", "_member", "_start", "_summed", "_told")

    def __init__(self, archive: ZipArchive, member: Member, crc: int | None, told: Told | None = None) -> None:
        self.name = member.name
        self.size = member.compressed_nbytes
        self._archive = archive
        self._member = member
        self._start = -1
        self._crc = crc
        self._told = told
        self._summed = (0, 0)  # bytes read in a row from the first on, and their CRC: one value, as threads read

    def _located(self, offset: int) -> int:
        if self._start < 0:
            self._start = self._archive.data_offset(self._member)
        return self._start + offset

    def _read(self, offset: int, nbytes: int) -> bytes:
        if not nbytes:
            return b""
        data = self._archive.source.read_at(self._located(offset), nbytes)
        if self._crc is not None:
            self._sum(offset, data, self._crc)
        return data

    def _sum(self, offset: int, data: bytes, wanted: int) -> None:
        at, crc = self._summed
        if offset <= at < offset + len(data):
            crc = zlib.crc32(memoryview(data)[at - offset :], crc)
            if offset + len(data) == self.size and crc != wanted:
                wrong_crc(self.name, crc, wanted, self._told)
            self._summed = offset + len(data), crc

    def file_range(self, offset: int, nbytes: int) -> tuple[int, int] | None:
        """Where the bytes lie in the file that holds the archive."""
        return self._archive.source.file_range(self._located(offset), nbytes)


def looks_like_zip(source: Source) -> bool:
    """Whether the first bytes are those of a zip member or of an empty zip."""
    return source.read_up_to(0, 4) in (b"PK\3\4", b"PK\5\6")
