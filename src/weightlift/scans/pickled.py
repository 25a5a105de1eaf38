"""Pickles in a run of bytes: one after another, and within each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import TruncatedError
from ..findings import Severity
from ..limits import Limits
from ..pickles import Blob
from ..pickles.known_globals import advisory_of, is_module, is_script_class
from ..pickles.opcodes import is_opcode
from ..pickles.watching import Sight, Watched, watch_pickle
from ..sources import Memory, Source
from ..typed import Any, TypeAlias
from ..values import replace
from .gathered import Gathered
from .values import Evidence

ScanInner: TypeAlias = Callable[[Source, str, Gathered], bool]
"""Looks into bytes that something in a pickle loads; says whether they are anything known."""

PROTOS = tuple(bytes((0x80, number)) for number in range(6))
_IN_TEXT = tuple(b"\xc2" + proto for proto in PROTOS)  # bytes as latin-1 text in UTF-8, how protocol 2 has them
_WINDOW = 1 << 20
_HEAD = 256
_COST = 20  # of trying a place, in opcodes
_LONGEST_TEXT = 1 << 18
_MOST_WITH_ARRAYS = 500  # pickles one after another, each read in three ways
_SIGNS = 16  # opcodes after which it was a pickle, even if it broke


def scan_pickles(source: Source, where: str, gathered: Gathered, inner: ScanInner, start: int = 0) -> list[Watched]:
    """Look at the pickles that follow each other from `start`; return them, [] where none begins there."""
    seen: list[Watched] = []
    followed: set[int] = set()
    with_arrays = 0
    for watched in _each(source, where, gathered, inner, start, gathered.seen.watch):
        seen.append(watched)
        with_arrays += bool(watched.arrays)
        if with_arrays > _MOST_WITH_ARRAYS:
            gathered.unreadable("limit", where, f"more than {_MOST_WITH_ARRAYS} pickles with arrays of joblib in them")
            break
        if watched.arrays:
            _read_otherwise(source, watched, where, gathered, inner, followed)
    return seen


def _each(
    source: Source,
    where: str,
    gathered: Gathered,
    inner: ScanInner,
    at: int,
    watch: Callable[[Source, int, Limits], Watched],
) -> Iterator[Watched]:
    """Look at the pickles that follow each other, as one kind of unpickler reads them."""
    while at < source.size:
        if gathered.is_spent:
            gathered.unreadable("limit", where, f"more pickles than may be looked at; left off at byte {at}", at)
            break
        if not is_opcode(source.read_at(at, 1)[0]):
            break
        watched = watch(source, at, gathered.limits)
        if not _counts(watched, source):
            break
        gathered.count(watched.end - at - sum(end - begin for begin, end in watched.spans))
        gathered.storages |= set(_storage_keys(watched.ids))
        _tell(watched, where, gathered)
        _look_inside(source, watched, where, gathered, inner)
        yield watched
        if watched.error is not None or watched.end <= at:
            break
        at = watched.end


def _read_otherwise(
    source: Source, watched: Watched, where: str, gathered: Gathered, inner: ScanInner, followed: set[int]
) -> None:
    """Tell what unpicklers other than joblib's would do with a pickle that joblib has written arrays into.

    `followed` is where those were seen to begin that follow another such: what comes after them is told already.
    """
    from ..pickles.other_readings import watch_plainly
    from .other_readings import in_other_readings, two_readings

    for reader, other in in_other_readings(source, watched, gathered):
        follows = False
        if other.error is None and other.end not in followed:
            for next_one in _each(source, where, gathered, inner, other.end, watch_plainly):
                follows = True
                if next_one.end in followed:
                    break
                followed |= {next_one.start, next_one.end}
                if len(followed) > 2 * _MOST_WITH_ARRAYS:
                    gathered.unreadable("limit", where, f"more pickles than {reader} is followed through", next_one.end)
                    break
        if other.sights or other.loads or follows:
            gathered.failed(two_readings(reader, other.end), where)
            _tell(replace(other, error=None), where, gathered)
            _look_inside(source, other, where, gathered, inner)


def _counts(watched: Watched, source: Source) -> bool:
    """Whether it is a pickle, and not bytes that begin like one."""
    if watched.error is None or any(sight.verdict == "dangerous" for sight in watched.sights):
        return True
    if source.read_up_to(watched.start, 2) not in PROTOS:  # texts begin like the pickles of protocol 0
        return any(
            sight.kind not in ("import", "extension") and is_module(sight.named.module) for sight in watched.sights
        )
    return bool(watched.globals) or watched.opcodes >= _SIGNS or isinstance(watched.error, TruncatedError)


def _storage_keys(identifiers: list[Any]) -> Iterator[str]:
    """The keys of the storages among persistent ids: ('storage', class, key, ...)."""
    for identifier in identifiers:
        if isinstance(identifier, tuple) and len(identifier) > 2 and isinstance(identifier[2], str):
            yield identifier[2]


def _tell(watched: Watched, where: str, gathered: Gathered) -> None:
    """Turn what was seen in one pickle into evidence."""
    told: set[tuple[str, str]] = set()
    for sight in watched.sights:
        gathered.judged.add(sight.named)
        if gathered.in_script and is_script_class(sight.named) and sight.verdict != "dangerous":
            continue
        key = sight.kind, str(sight.named)
        if sight.verdict != "dangerous" and key in told:
            continue
        told.add(key)
        gathered.add(_evidence(sight, where), sight.verdict)
    if watched.error is not None:
        gathered.failed(watched.error, where)
    elif watched.highest_memo > gathered.limits.memo:
        message = f"memo index {watched.highest_memo}, which makes CPython's unpickler allocate that many entries"
        gathered.unreadable("limit", where, message)


_SAYS = {
    "import": "imports {name}, which runs the code of its module, and does not call it",
    "call": "calls {name}",
    "object": "makes an object of the class {name}",
    "state": "hands a state to {name}",
    "items": "puts items into {name}",
    "attribute": "sets an attribute that an unpickler calls to {name}",
    "extension": "imports what is registered in the loading process as {name}",
    "computed": "imports by a name that is put together while loading",
}


_MAKES = ("NEWOBJ", "NEWOBJ_EX")


def _evidence(sight: Sight, where: str) -> Evidence:
    from .calls import call_text

    severity: Severity = "danger" if sight.verdict == "dangerous" else "warning"
    advisory = advisory_of(sight.named)
    call = "" if sight.made is None else call_text(sight.made)
    kind = "object" if sight.kind == "call" and sight.opcode in _MAKES and sight.verdict == "unknown" else sight.kind
    message = _SAYS[kind].format(name=sight.named)
    return Evidence(
        f"{sight.verdict}-{sight.kind}", severity, where, message, sight.offset, sight.opcode, call, advisory
    )


def _look_inside(source: Source, watched: Watched, where: str, gathered: Gathered, inner: ScanInner) -> None:
    """Look for pickles in the bytes and texts of a pickle, and into what it has torch load."""
    within = f"{where}: " if where else ""
    loaded: set[int] = set()
    once: set[Any] = set()  # what is loaded again and again is looked into once
    for number, (data, offset) in enumerate(watched.loads, 1):
        loaded.add(id(data))
        same = bytes(data) if isinstance(data, bytes | bytearray) else id(data)
        if same in once:
            continue
        once.add(same)
        held = _source_of(data, f"blob {number}")
        gathered.depth += 1
        gathered.inside += isinstance(held, Memory)
        if (
            held is None
            or gathered.depth > gathered.limits.archives
            or not inner(held, f"{within}blob {number}", gathered)
        ):
            message = "has torch load bytes that cannot be looked into"
            name = "torch.storage._load_from_bytes"
            gathered.add(
                Evidence("unknown-call", "warning", where, message, offset, "REDUCE", f"{name}({_short(data)})")
            )
        gathered.depth -= 1
        gathered.inside -= isinstance(held, Memory)
    for blob in watched.blobs:
        if id(blob) not in loaded and gathered.depth < gathered.limits.archives:
            gathered.depth += 1
            scan_pickles(blob.source, f"{within}bytes in it", gathered, inner)
            gathered.depth -= 1
    if gathered.depth < gathered.limits.archives:
        gathered.depth += 1
        _nested(source, watched, where, gathered)
        gathered.depth -= 1


def _source_of(data: Any, name: str) -> Source | None:
    if isinstance(data, Blob):
        return data.source
    return Memory(bytes(data), name) if isinstance(data, bytes | bytearray) else None


def _short(data: Any) -> str:
    if isinstance(data, bytes | bytearray | Blob):
        return f"<{len(data)} bytes>"
    from .calls import call_text

    return call_text(data, 100)


def _nested(source: Source, watched: Watched, where: str, gathered: Gathered) -> None:
    """Try every place in a pickle where the first bytes of another stand; not in long bytes, which data are."""
    left = gathered.limits.text_bytes
    at = watched.start + 1
    for begin, end in (*watched.spans, (watched.end, watched.end)):
        if 8 < begin - at <= left:
            left -= begin - at
            search(source.window(at, begin - at), at, where, gathered, (*PROTOS, *_IN_TEXT))
        at = end


def search(source: Source, base: int, where: str, gathered: Gathered, marks: tuple[bytes, ...] = PROTOS[2:]) -> None:
    """Try every place in a run of bytes where a pickle may begin; `base` is where it begins in `where`."""
    for start in range(0, source.size, _WINDOW):
        data = source.read_up_to(start, _WINDOW + _HEAD)
        if b"\x80" not in data:  # all marks have it
            continue
        for mark in marks:
            at = data.find(mark, 0, _WINDOW + len(mark) - 1)
            while at >= 0:
                if gathered.search_left <= 0:
                    gathered.unreadable("limit", where, f"too many places to look for pickles in, from byte {start} on")
                    return
                if mark in _IN_TEXT or _begins(data[at : at + _HEAD], gathered):
                    place = f"{where}: bytes at {base + start + at}" if where else f"bytes at {base + start + at}"
                    rest = source.window(start + at, source.size - start - at)
                    _try(rest if mark in PROTOS else _from_text(rest), place, gathered)
                at = data.find(mark, at + 1, _WINDOW + len(mark) - 1)


def _begins(head: bytes, gathered: Gathered) -> bool:
    """Whether what follows can be a pickle: tried on a few bytes, since most of what looks like one is chance."""
    if len(head) > 2 and not is_opcode(head[2]):
        return False
    tried = watch_pickle(Memory(head), 0, gathered.limits_of_search)
    gathered.search_left -= tried.opcodes + _COST
    return tried.error is None or isinstance(tried.error, TruncatedError) or bool(tried.sights)


def _from_text(source: Source) -> Source:
    """Bytes that stand in a text as latin-1, decoded as far as they are text."""
    text = source.read_up_to(0, _LONGEST_TEXT).decode("utf-8", "replace").partition("\ufffd")[0]
    return Memory(text.encode("latin-1", "replace"))


def _try(source: Source, where: str, gathered: Gathered) -> None:
    """Keep what stands in a nested pickle if it is whole, or dangerous however it ends."""
    watched = watch_pickle(source, 0, replace(gathered.limits_of_search, opcodes=max(0, gathered.search_left)))
    gathered.search_left -= watched.opcodes + _COST
    readings = [watched]
    if watched.arrays:
        from .other_readings import in_other_readings

        readings += [other for _, other in in_other_readings(source, watched, gathered)]
    for each in readings:
        dangerous = any(sight.verdict == "dangerous" for sight in each.sights)
        if each.sights and (each.error is None or dangerous):
            gathered.pickles += 1
            for sight in each.sights:
                gathered.add(_evidence(sight, where), sight.verdict)
