"""A zip's directory, strictly: what two readers could see differently is an error here.

Own reader, since a member's byte range is what everything above needs and the standard library hides
it behind file objects. Follows PKWARE's APPNOTE 6.3.9 (central directory 4.3.12, zip64 4.5.3).
"""

from __future__ import annotations

from struct import Struct

from ..errors import ContainerError, LimitError, TruncatedError, UnsupportedError
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Inflated, Source
from ..values import dataclass

_LOCAL = Struct("<4sHHHHHIIIHH")
_CENTRAL = Struct("<4s6H3I5H2I")
_END = Struct("<4s4H2IH")
_END64 = Struct("<4sQ2H2I4Q")
_LOCATOR64 = Struct("<4sIQI")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED, _UTF8 = 0x1, 0x800
STORED, DEFLATED = 0, 8


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


class ZipArchive:
    """The members of a zip by name; their bytes are read when asked for."""

    def __init__(self, source: Source, limits: Limits = DEFAULT_LIMITS) -> None:
        """Reads the end record and the central directory only."""
        self.source = source
        self.limits = limits
        self.members: dict[str, Member] = {}
        count, size, offset = self._end_record()
        if count > limits.members:
            raise LimitError(f"the archive lists {count} members", expected=f"at most {limits.members}")
        if size > limits.header_bytes:
            raise LimitError(f"the zip directory takes {size} bytes", expected=f"at most {limits.header_bytes}")
        self._read_directory(source.read_at(offset, size), count, offset)

    def names(self) -> list[str]:
        """Member names in the order of the directory."""
        return list(self.members)

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def open(self, name: str) -> Source:
        """Return the bytes of a member as a source: where they lie in the file, or inflated as read.

        Reads nothing yet; the local header is checked when the first bytes are.

        Raises:
            ContainerError: the local header contradicts the directory.
            UnsupportedError: the member is encrypted or compressed in another way than deflate.
        """
        member = self.members.get(name)
        if member is None:
            raise ContainerError(f"no member {name!r}", expected="a complete archive", remedy="fetch or save it again")
        if member.flags & _ENCRYPTED:
            raise UnsupportedError(f"{name!r} is encrypted", remedy="decrypt the archive first")
        if member.method not in (STORED, DEFLATED):
            raise UnsupportedError(f"{name!r} is compressed by method {member.method}", expected="stored or deflated")
        data = _Stored(self, member)
        return data if member.method == STORED else Inflated(data, member.nbytes, name)

    def read(self, name: str) -> bytes:
        """Return all bytes of a small member."""
        source = self.open(name)
        if source.size > self.limits.inflated_bytes:
            raise LimitError(f"{name!r} is {source.size} bytes", expected=f"at most {self.limits.inflated_bytes}")
        return source.read_at(0, source.size)

    def _end_record(self) -> tuple[int, int, int]:
        """Return (members, directory size, directory offset)."""
        source = self.source
        tail_at = max(0, source.size - _END.size - _FULL16)
        tail = source.read_at(tail_at, source.size - tail_at)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or at + _END.size > len(tail):
            raise TruncatedError(
                "a zip without its end record", expected="a complete archive", remedy="fetch or save the file again"
            )
        _, disk, cd_disk, here, count, size, offset, comment = _END.unpack_from(tail, at)
        end_at = tail_at + at
        if end_at + _END.size + comment != source.size:
            raise ContainerError(f"{source.size - end_at - _END.size - comment} bytes follow the zip's end record")
        if (disk or cd_disk or here != count) and _FULL16 not in (disk, cd_disk, here):
            raise UnsupportedError("a zip that is split over several disks", remedy="join it first")
        located = self._end_record64(end_at)  # torch writes one always, however small the archive
        if located is not None:
            for short, full, most in (
                (count, located[0], _FULL16),
                (size, located[1], _FULL32),
                (offset, located[2], _FULL32),
            ):
                if short not in (full, most):
                    raise ContainerError(f"the zip's two end records say {short} and {full}", expected="one answer")
            count, size, offset, end_at = located
        if offset + size != end_at:
            raise ContainerError(
                f"the zip directory is said to end at byte {offset + size} and its end record is at {end_at}",
                expected="one archive from the first byte to the last",
                remedy="cut away what was put before or after it",
            )
        return count, size, offset

    def _end_record64(self, end_at: int) -> tuple[int, int, int, int] | None:
        if end_at < _LOCATOR64.size:
            return None
        magic, _, at, _ = _LOCATOR64.unpack(self.source.read_at(end_at - _LOCATOR64.size, _LOCATOR64.size))
        if magic != b"PK\6\7":
            return None
        fields = _END64.unpack(self.source.read_at(at, _END64.size))
        if fields[0] != b"PK\6\6":
            raise ContainerError(f"no zip64 end record at byte {at}", expected="the one its locator names")
        return fields[7], fields[8], fields[9], at

    def _read_directory(self, directory: bytes, count: int, directory_at: int) -> None:
        at = 0
        unpack, size = _CENTRAL.unpack_from, _CENTRAL.size
        for _ in range(count):
            if at + size > len(directory) or directory[at : at + 4] != b"PK\1\2":
                raise ContainerError(
                    f"the zip directory breaks off after {len(self.members)} members", expected=f"{count}"
                )
            (_, _, _, flags, method, _, _, crc, packed, nbytes, n_name, n_extra, n_comment, _, _, _, header) = unpack(
                directory, at
            )
            at += size
            raw_name = directory[at : at + n_name]
            if _FULL32 in (packed, nbytes, header):
                extra = directory[at + n_name : at + n_name + n_extra]
                nbytes, packed, header = _zip64_fields(extra, nbytes, packed, header)
            at += n_name + n_extra + n_comment
            name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437", "backslashreplace")
            if name in self.members:
                raise ContainerError(
                    f"two members are called {name!r}",
                    expected="each name once",
                    remedy="readers would differ; repack it",
                )
            if header + _LOCAL.size + packed > directory_at:
                raise ContainerError(f"{name!r} is said to reach past the zip directory", expected="a complete archive")
            self.members[name] = Member(name, header, packed, nbytes, method, crc, flags)

    def data_offset(self, member: Member) -> int:
        """Where the member's bytes begin; reads its local header and holds it against the directory."""
        name = member.name
        head = self.source.read_at(member.header_offset, _LOCAL.size)
        magic, _, flags, method, _, _, _, packed, nbytes, n_name, n_extra = _LOCAL.unpack(head)
        if magic != b"PK\3\4":
            raise ContainerError(f"no local header of {name!r} at byte {member.header_offset}")
        local_name = self.source.read_at(member.header_offset + _LOCAL.size, n_name)
        if local_name.decode("utf-8" if flags & _UTF8 else "cp437", "backslashreplace") != name:
            raise ContainerError(f"{name!r} is called {local_name!r} in its local header", expected="one name")
        deferred = flags & 0x8  # sizes follow the data, the local ones may be zero
        for found, listed in ((packed, member.compressed_nbytes), (nbytes, member.nbytes)):
            if found not in (listed, _FULL32) and not (deferred and found == 0):
                raise ContainerError(f"{name!r} has {found} bytes in its local header and {listed} in the directory")
        if method != member.method:
            raise ContainerError(f"{name!r} is compressed differently in its local header and in the directory")
        if method == STORED and member.nbytes != member.compressed_nbytes:
            raise ContainerError(f"{name!r} is stored as {member.compressed_nbytes} bytes", expected=f"{member.nbytes}")
        return member.header_offset + _LOCAL.size + int(n_name) + int(n_extra)


class _Stored(Source):
    """A member's bytes as they lie in the archive; where that is, its local header says when asked."""

    __slots__ = ("_archive", "_member", "_start")

    def __init__(self, archive: ZipArchive, member: Member) -> None:
        self.name = member.name
        self.size = member.compressed_nbytes
        self._archive = archive
        self._member = member
        self._start = -1

    def _located(self, offset: int) -> int:
        if self._start < 0:
            self._start = self._archive.data_offset(self._member)
        return self._start + offset

    def _read(self, offset: int, nbytes: int) -> bytes:
        return self._archive.source.read_at(self._located(offset), nbytes) if nbytes else b""

    def file_range(self, offset: int, nbytes: int) -> tuple[int, int] | None:
        """Where the bytes lie in the file that holds the archive."""
        return self._archive.source.file_range(self._located(offset), nbytes)


def _zip64_fields(extra: bytes, nbytes: int, packed: int, header: int) -> tuple[int, int, int]:
    """Fill in those of the three that are too big for 32 bits from the zip64 extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind = int.from_bytes(extra[at : at + 2], "little")
        size = int.from_bytes(extra[at + 2 : at + 4], "little")
        if kind == 1:
            words = [int.from_bytes(extra[p : p + 8], "little") for p in range(at + 4, at + 4 + size - 7, 8)]
            values = [nbytes, packed, header]
            for i, value in enumerate(values):
                if value == _FULL32:
                    if not words:
                        raise ContainerError("a zip64 field is too short for the sizes it stands for")
                    values[i] = words.pop(0)
            return values[0], values[1], values[2]
        at += 4 + size
    return nbytes, packed, header


def looks_like_zip(source: Source) -> bool:
    """Whether the first bytes are those of a zip member or of an empty zip."""
    return source.read_up_to(0, 4) in (b"PK\3\4", b"PK\5\6")
