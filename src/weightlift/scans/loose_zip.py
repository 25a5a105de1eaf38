"""Every reading of a zip that two readers could read differently.

Each end record near the end of the file names a directory, each directory its members; and from the
first byte on, local headers follow each other. What any of them calls a member is one here, once for
each place of its bytes. Reads headers only.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from ..errors import WeightliftError
from ..limits import Limits
from ..sources import Inflated, Source

_LOCAL = Struct("<4sHHHHHIIIHH")
_CENTRAL = Struct("<4s6H3I5H2I")
_END = Struct("<4s4H2IH")
_END64 = Struct("<40x2Q")  # size and offset of the directory, behind what is not needed here
_NBYTES64 = 56 + 20  # the zip64 end record and its locator
_TAIL = 1 << 17
_MOST_ENDS = 8


def entries(source: Source, limits: Limits) -> Iterator[tuple[str, Source]]:
    """Yield (name, bytes) for whatever can be taken for a member, each place once."""
    seen: set[int] = set()
    for name, at, packed in (*_local_walk(source, limits), *_listed(source, limits)):
        if at in seen or len(seen) > limits.members:
            continue
        seen.add(at)
        try:
            found = _data(source, name, at, packed)
        except WeightliftError:
            continue
        if found is not None:
            yield found


def archives_in_a_row(source: Source, most: int) -> list[Source]:
    """Return the zips that make up a file one after another, [] where they do not. Reads the end records only."""
    parts: list[Source] = []
    end = source.size
    while end > 0 and len(parts) < most:
        at = end - _END.size
        if at < 0 or source.read_at(at, 4) != b"PK\5\6":
            return []
        _, _, _, _, _, size, offset, _ = _END.unpack(source.read_at(at, _END.size))
        at64 = at - _NBYTES64
        if at64 >= 0 and source.read_at(at64, 4) == b"PK\6\6":
            size, offset = _END64.unpack(source.read_at(at64, _END64.size))
            at = at64
        begin = at - size - offset
        if not 0 <= begin < end:
            return []
        parts.append(source.window(begin, end - begin))
        end = begin
    return parts[::-1] if end == 0 else []


def _data(source: Source, name: str, at: int, packed: int) -> tuple[str, Source] | None:
    """The bytes behind a local header, inflated where it says so."""
    head = source.read_at(at, _LOCAL.size)
    magic, _, _, method, _, _, _, own_packed, nbytes, n_name, n_extra = _LOCAL.unpack(head)
    if magic != b"PK\3\4" or method not in (0, 8):
        return None
    start = at + _LOCAL.size + n_name + n_extra
    size = packed or own_packed
    size = min(size, source.size - start) if 0 < size < 0xFFFFFFFF else source.size - start
    if size <= 0:
        return None
    data = source.window(start, size, name)
    return name, data if method == 0 else Inflated(data, nbytes or min(size * 100, 64 << 20), name)


def _local_walk(source: Source, limits: Limits) -> Iterator[tuple[str, int, int]]:
    """Yield (name, offset, packed size) of the local headers that follow each other from the first byte."""
    at = 0
    for _ in range(limits.members):
        head = source.read_up_to(at, _LOCAL.size)
        if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
            return
        fields = _LOCAL.unpack(head)
        packed, n_name, n_extra = fields[7], fields[9], fields[10]
        name = source.read_up_to(at + _LOCAL.size, n_name).decode("utf-8", "backslashreplace")
        yield name, at, packed
        if fields[2] & 8 and not packed:  # the size stands behind the data
            return
        at += _LOCAL.size + n_name + n_extra + packed


def _listed(source: Source, limits: Limits) -> Iterator[tuple[str, int, int]]:
    """Yield the same of what every directory lists that an end record near the end names."""
    tail_at = max(0, source.size - _TAIL)
    tail = source.read_up_to(tail_at, _TAIL)
    at, found = tail.rfind(b"PK\5\6"), 0
    while at >= 0 and found < _MOST_ENDS:
        found += 1
        if at + _END.size <= len(tail):
            _, _, _, _, _, size, offset, _ = _END.unpack_from(tail, at)
            end = tail_at + at
            begins = {offset, end - size}
            for record in _END64.unpack_from(tail, at64) if (at64 := tail.rfind(b"PK\6\6", 0, at)) >= 0 else ():
                begins.add(record)
            for begin in begins:
                yield from _directory(source, begin, offset, limits)
        at = tail.rfind(b"PK\5\6", 0, at)


def _directory(source: Source, begin: int, claimed: int, limits: Limits) -> Iterator[tuple[str, int, int]]:
    at, base = begin, begin - claimed  # bytes put in front of the archive move all of it
    for _ in range(limits.members):
        if not 0 <= at < source.size:
            return
        head = source.read_up_to(at, _CENTRAL.size)
        if len(head) < _CENTRAL.size or head[:4] != b"PK\1\2":
            return
        fields = _CENTRAL.unpack(head)
        packed, n_name, n_extra, n_comment, header = fields[8], fields[10], fields[11], fields[12], fields[16]
        name = source.read_up_to(at + _CENTRAL.size, n_name).decode("utf-8", "backslashreplace")
        yield name, header, packed
        if base > 0:
            yield name, header + base, packed
        at += _CENTRAL.size + n_name + n_extra + n_comment
