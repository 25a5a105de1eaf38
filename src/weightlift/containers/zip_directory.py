"""A zip's central directory as members. Strict: two members of one name, or bytes of two members, are an error."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ContainerError, TwoReadingsError
from ..typed import Any
from .zip_end import TORCH, ZIPFILE, Directory
from .zip_records import CENTRAL, FULL32, LOCAL, UNICODE_PATH, Member, decoded, extra_field, zip64_fields

ORDINARY_GAP = 160
"""Bytes between what the directory says of a member and the next one, at most, that padding to 64 bytes, the usual
extra fields and a data descriptor account for."""


class Members:
    """The members of a directory by name, where their headers lie, and between which there is room for more."""

    def __init__(self, data: bytes, directory: Directory) -> None:
        self.by_name: dict[str, Member] = {}
        self.starts: list[int] = []
        self.gaps: list[tuple[Member | None, int, int]] = []
        self._read(data, directory)
        text = "\n".join(self.by_name)
        if "\0" in text:
            raise _nul(next(name for name in self.by_name if "\0" in name))
        if b"up" in data:  # a Unicode path field, or a name with these letters
            for name, other in _unicode_paths(data):
                raise TwoReadingsError(
                    f"a member has two names, {name!r} and {other!r}",
                    code="unicode-path",
                    readings=(
                        f"{TORCH} takes {name!r}, as the directory spells it",
                        f"{ZIPFILE} since 3.12 takes {other!r}, as an extra field spells it",
                    ),
                    expected="one name",
                )

    def _read(self, data: bytes, directory: Directory) -> None:
        at = reached = 0
        in_order = True
        previous: Member | None = None
        unpack, size, local, members = CENTRAL.unpack_from, CENTRAL.size, LOCAL.size, self.by_name
        started, limit, count = self.starts.append, directory.offset, directory.count
        for _ in range(count):
            if at + size > len(data) or data[at : at + 4] != b"PK\1\2":
                raise ContainerError(f"the zip directory breaks off after {len(members)} members", expected=f"{count}")
            (_, _, _, flags, method, _, _, crc, packed, nbytes, n_name, n_extra, n_comment, _, _, _, header) = unpack(
                data, at
            )
            at += size
            raw_name = data[at : at + n_name]
            if FULL32 in (packed, nbytes, header):
                extra = data[at + n_name : at + n_name + n_extra]
                nbytes, packed, header = zip64_fields(extra, nbytes, packed, header)
            at += n_name + n_extra + n_comment
            name = decoded(raw_name, flags)
            member = Member(name, header, packed, nbytes, method, crc, flags)
            if name in members:
                raise _two_of_a_name(members[name], member)
            end = header + local + n_name + packed
            if end > limit:
                raise ContainerError(f"{name!r} is said to reach past the zip directory", expected="a complete archive")
            if header < reached:
                in_order = False
            elif header > reached + ORDINARY_GAP or (header and not reached):
                self.gaps.append((previous, reached, header))
            reached, previous = end, member
            started(header)
            members[name] = member
        if at != len(data):
            raise TwoReadingsError(
                f"the end record counts {count} members and {len(data) - at} bytes follow them in the directory",
                code="directory-count",
                readings=(f"{TORCH} takes {count} members", f"{ZIPFILE} takes those that follow as well"),
                expected="the directory to end with the last of them",
            )
        if not in_order:
            self._sort()
        elif limit > reached + ORDINARY_GAP or (limit and not reached):
            self.gaps.append((previous, reached, limit))

    def _sort(self) -> None:
        """Hold the members against each other in the order of the file, which is not that of the directory."""
        self.starts.sort()
        self.gaps.clear()
        reached = 0
        previous: Member | None = None
        for member in sorted(self.by_name.values(), key=lambda each: each.header_offset):
            if member.header_offset < reached and previous is not None:
                raise overlapping(previous, member)
            if member.header_offset > reached + ORDINARY_GAP or (member.header_offset and not reached):
                self.gaps.append((previous, reached, member.header_offset))
            reached, previous = member.header_offset + LOCAL.size + member.compressed_nbytes, member


def overlapping(first: Member, second: Member) -> TwoReadingsError:
    """The error about two members that share bytes."""
    aliased = first.header_offset == second.header_offset
    found = "begin at one byte" if aliased else "share bytes"
    places = [f"{m.compressed_nbytes} bytes after byte {m.header_offset} for {m.name!r}" for m in (first, second)]
    readings = (
        f"readers by the directory take {places[0]} and {places[1]}",
        "readers by local headers, one member after the other, meet only one of them",
    )
    return TwoReadingsError(
        f"{first.name!r} and {second.name!r} {found}",
        code="aliased-members" if aliased else "overlapping-members",
        readings=readings,
        expected="bytes of its own for each member",
    )


def _two_of_a_name(first: Member, second: Member) -> TwoReadingsError:
    places = [f"the one at byte {m.header_offset} ({m.nbytes} bytes, CRC {m.crc:08x})" for m in (first, second)]
    return TwoReadingsError(
        f"two members are called {first.name!r}",
        code="duplicate-name",
        readings=(
            f"{ZIPFILE} takes the last, {places[1]}",
            f"readers that search the directory, {TORCH} among them, may take {places[0]}",
        ),
        expected="each name once",
    )


def _nul(name: str) -> TwoReadingsError:
    short = name.partition("\0")[0]
    return TwoReadingsError(
        f"a member is called {name!r}",
        code="nul-in-name",
        readings=(f"readers that end a name at its NUL ({ZIPFILE}) take it for {short!r}", f"others for {name!r}"),
        expected="a name without NUL",
    )


def _unicode_paths(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (name, other name) of members whose Unicode path field says something else than the directory."""
    for fields, raw_name, extra in entries(data):
        field = extra_field(extra, UNICODE_PATH) if b"up" in extra else None
        if field is not None and field[5:] != raw_name:
            yield decoded(raw_name, fields[3]), field[5:].decode("utf-8", "backslashreplace")


def entries(data: bytes) -> Iterator[tuple[tuple[Any, ...], bytes, bytes]]:
    """Yield (the fixed fields, name, extra field) of whatever entries stand in a row, however many."""
    at = 0
    while at + CENTRAL.size <= len(data) and data[at : at + 4] == b"PK\1\2":
        fields = CENTRAL.unpack_from(data, at)
        at += CENTRAL.size
        n_name, n_extra, n_comment = fields[10:13]
        yield fields, data[at : at + n_name], data[at + n_name : at + n_name + n_extra]
        at += n_name + n_extra + n_comment
