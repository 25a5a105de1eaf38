"""What a run of bytes is, wherever it lies, and who looks into it."""

from __future__ import annotations

from ..containers import looks_like_zip
from ..containers.tar import looks_like_tar
from ..errors import LimitError, WeightliftError
from ..sources import Memory, Source
from .gathered import Gathered
from .pickled import PROTOS, scan_pickles, search

_NPY = b"\x93NUMPY"
_CLOSED = {b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!\x1a\x07": "a RAR archive", b"\x28\xb5\x2f\xfd": "zstd data"}
_HEAD_NBYTES = 512


def scan_region(source: Source, where: str, gathered: Gathered) -> bool:
    """Look for pickles in a run of bytes, by its content; return whether it is anything known.

    What cannot be read of it becomes evidence; nothing that it holds makes this raise.
    """
    if source.size == 0:
        return False
    if gathered.depth > gathered.limits.archives:
        gathered.unreadable("limit", where, f"archives nested deeper than {gathered.limits.archives}")
        return False
    try:
        return _scan(source, where, gathered)
    except WeightliftError as error:
        gathered.failed(error, where)
        return isinstance(error, LimitError)


def _scan(source: Source, where: str, gathered: Gathered) -> bool:
    head = source.read_up_to(0, _HEAD_NBYTES)
    if looks_like_zip(source):
        from .zips import scan_zip

        return scan_zip(source, where, gathered, scan_region)
    if looks_like_tar(head):
        from .tars import scan_tar

        scan_tar(source, where, gathered, scan_region)
        return True
    if head.startswith(_NPY):
        from .arrays import scan_npy

        return scan_npy(source, where, gathered, scan_region)
    from .compressed import kind_of, scan_compressed

    known = (kind := kind_of(head)) is not None and scan_compressed(source, kind, where, gathered, scan_region)
    for magic, what in _CLOSED.items():
        if head.startswith(magic):
            gathered.unreadable("unsupported", where, f"{what}, which is not looked into")
            return True
    if not _can_begin(head, source):
        return known
    return scan_stream(source, where, gathered) or known  # the header of a compressed stream can be a pickle


def _can_begin(head: bytes, source: Source) -> bool:
    """Whether a pickle can begin so: tried on the first bytes, so that little is read of what is none."""
    if head[:2] in PROTOS or source.size <= len(head):
        return True
    from ..errors import TruncatedError
    from ..limits import Limits
    from ..pickles.watching import watch_pickle

    tried = watch_pickle(Memory(head), 0, Limits())
    return tried.error is None or isinstance(tried.error, TruncatedError) or bool(tried.sights)


def scan_stream(source: Source, where: str, gathered: Gathered) -> bool:
    """Look at pickles one after another, and at what stands behind the storages of a legacy file."""
    seen = scan_pickles(source, where, gathered, scan_region)
    if not seen:
        return False
    end = seen[-1].end
    if seen[-1].error is not None:
        return True
    if not where and any(watched.arrays for watched in seen):
        gathered.own_format = "joblib"
    after = None
    if len(seen) >= 5:
        from .legacy import end_of_storages

        after = end_of_storages(source, seen)
    if after is not None and gathered.deep:
        search(source.window(end, after - end), end, where, gathered)
    if after is not None and after < source.size:
        gathered.note("trailing-bytes", where, f"{source.size - after} bytes follow the last storage", after)
        _scan_rest(source, after, where, gathered)
    elif after is None and end < source.size:
        gathered.note("trailing-bytes", where, f"{source.size - end} bytes that are no pickle follow", end)
        _scan_rest(source, end, where, gathered)
    if after is None and len(seen) > 1:
        gathered.note("after-stop", where, f"{len(seen)} pickles, one after another", seen[0].end)
    return True


def _scan_rest(source: Source, at: int, where: str, gathered: Gathered) -> None:
    """Look into what follows: from its first byte, and from the first zip in its beginning."""
    rest = source.window(at, source.size - at)
    place = f"{where}: bytes from {at}" if where else f"bytes from {at}"
    gathered.depth += 1
    if not scan_region(rest, place, gathered):
        found = rest.read_up_to(0, 1 << 20).find(b"PK\3\4")
        if found >= 0:
            scan_region(rest.window(found, rest.size - found), place, gathered)
    gathered.depth -= 1
