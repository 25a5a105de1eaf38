"""Where the storages of a legacy torch stream end: what stands behind them belongs to nobody."""

from __future__ import annotations

from ..dtypes import BY_STORAGE_CLASS
from ..errors import WeightliftError
from ..formats.torch_legacy import MAGIC
from ..pickles import Global, read_pickle
from ..pickles.watching import Watched
from ..sources import Memory, Source


def end_of_storages(source: Source, seen: list[Watched]) -> int | None:
    """Return where the last storage ends, or None where the pickles are no legacy stream.

    magic, version, system info, object, keys; then for each key 8 bytes of count and the elements.
    """
    if len(seen) < 5 or not _is_magic(source, seen[0]):
        return None
    itemsize = {}
    for identifier in seen[3].ids:
        if isinstance(identifier, tuple) and len(identifier) >= 3 and isinstance(identifier[1], Global):
            dtype = BY_STORAGE_CLASS.get(identifier[1].name)
            itemsize[identifier[2] if isinstance(identifier[2], str) else None] = dtype.itemsize if dtype else 1
    try:
        keys = read_pickle(source, seen[4].start).value
        at = seen[4].end
        for key in keys if isinstance(keys, list) else []:
            numel = int.from_bytes(source.read_at(at, 8), "little")
            at += 8 + numel * itemsize.get(key if isinstance(key, str) else None, 1)
    except WeightliftError:
        return None
    return at if at <= source.size else None


def _is_magic(source: Source, first: Watched) -> bool:
    try:
        found = read_pickle(Memory(source.read_up_to(first.start, min(64, first.end - first.start)))).value
    except WeightliftError:
        return False
    return type(found) is int and found == MAGIC
