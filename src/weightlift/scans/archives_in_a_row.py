"""Zips that follow each other in one file, as torch.distributed.checkpoint writes them. Reads their ends only."""

from __future__ import annotations

from ..containers.zip_records import END, END64, LOCATOR64
from ..sources import Source


def archives_in_a_row(source: Source, most: int) -> list[Source]:
    """Return the zips that make up a file one after another, [] where they do not. Reads the end records only."""
    parts: list[Source] = []
    end = source.size
    while end > 0 and len(parts) < most:
        at = end - END.size
        if at < 0 or source.read_at(at, 4) != b"PK\5\6":
            return []
        _, _, _, _, _, size, offset, _ = END.unpack(source.read_at(at, END.size))
        at64 = at - END64.size - LOCATOR64.size
        if at64 >= 0 and source.read_at(at64, 4) == b"PK\6\6":
            size, offset = END64.unpack(source.read_at(at64, END64.size))[8:10]
            at = at64
        begin = at - size - offset
        if not 0 <= begin < end:
            return []
        parts.append(source.window(begin, end - begin))
        end = begin
    return parts[::-1] if end == 0 else []
