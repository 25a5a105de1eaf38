"""Pickles in a run of bytes: one after another, and within each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import TruncatedError
from ..findings import Severity
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
_SIGNS = 16  # opcodes after which it was a pickle, even if it broke


def scan_pickles(source: Source, where: str, gathered: Gathered, inner: ScanInner, start: int = 0) -> list[Watched]:
    """Look at the pickles that follow each other from `start`; return them, [] where none begins there."""
    seen: list[Watched] = []
    at = start
    while at < source.size:
        if gathered.is_spent:
            gathered.unreadable("limit", where, f"more pickles than may be looked at; left off at byte {at}", at)
            break
        if not is_opcode(source.read_at(at, 1)[0]):
            break
        watched = gathered.seen.watch(source, at, gathered.limits_left())
        if not _counts(watched, source):
            break
        gathered.count(watched.opcodes, watched.end - at - sum(end - begin for begin, end in watched.spans))
        seen.append(watched)
        gathered.storages |= set(_storage_keys(watched.ids))
        _tell(watched, where, gathered)
        _look_inside(source, watched, where, gathered, inner)
        if watched.error is not None or watched.end <= at:
            break
        at = watched.end
    return seen


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
    for number, (data, offset) in enumerate(watched.loads, 1):
        loaded.add(id(data))
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
    tried = watch_pickle(Memory(head), 0, gathered.limits)
    gathered.search_left -= tried.opcodes + _COST
    return tried.error is None or isinstance(tried.error, TruncatedError) or bool(tried.sights)


def _from_text(source: Source) -> Source:
    """Bytes that stand in a text as latin-1, decoded as far as they are text."""
    text = source.read_up_to(0, _LONGEST_TEXT).decode("utf-8", "replace").partition("\ufffd")[0]
    return Memory(text.encode("latin-1", "replace"))


def _try(source: Source, where: str, gathered: Gathered) -> None:
    """Keep what stands in a nested pickle if it is whole, or dangerous however it ends."""
    watched = watch_pickle(source, 0, replace(gathered.limits, opcodes=max(0, gathered.search_left)))
    gathered.search_left -= watched.opcodes + _COST
    if not watched.sights:
        return
    dangerous = any(sight.verdict == "dangerous" for sight in watched.sights)
    if watched.error is None or dangerous:
        gathered.pickles += 1
        for sight in watched.sights:
            gathered.add(_evidence(sight, where), sight.verdict)
