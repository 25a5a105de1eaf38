"""Compressed streams, as joblib and plain gzip write them: inflated in bounds, then looked into."""

from __future__ import annotations

from ..errors import ContainerError
from ..sources import Memory, Source
from ..typed import Any
from .gathered import Gathered
from .pickled import ScanInner

_CHUNK = 1 << 18
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_KINDS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x5d\0\0": "lzma",
    **dict.fromkeys(_ZLIB, "zlib"),
}
_LEAST_NBYTES = 1 << 16  # to tell a stream from what begins like one
_COST = {"bzip2": 3}  # beside what the others take for a byte: it is so much slower


def kind_of(head: bytes) -> str | None:
    """Return what the first bytes are compressed with, or None."""
    return next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), None)


def scan_compressed(source: Source, kind: str, where: str, gathered: Gathered, inner: ScanInner) -> bool:
    """Look into what a compressed stream holds; False where it inflates to nothing known.

    No more than `Limits.inflated_bytes` are held at once, of streams within streams together; what lies beyond is
    told as unreadable.
    """
    cost = _COST.get(kind, 1)
    allowed = gathered.limits.inflated_bytes
    most = max(_LEAST_NBYTES, min(allowed - gathered.held, gathered.inflated_left)) // cost
    try:
        data, is_whole = _inflate(source, kind, most)
    except ContainerError as error:
        if kind in ("zlib", "lzma"):  # their first bytes can be anything's
            return False
        gathered.failed(error, where)
        return True
    name = f"{where}: {kind}" if where else kind
    gathered.inflated_left -= cost * len(data)
    gathered.held += len(data)
    gathered.depth += 1
    known = inner(Memory(data, name), name, gathered)
    gathered.depth -= 1
    gathered.held -= len(data)
    if known and not where:
        gathered.own_format = kind
    if not is_whole and (known or most < allowed // cost):  # after other streams, these bytes may be too few to tell
        gathered.unreadable(
            "limit",
            where,
            f"inflates to more than {most} bytes, of which the first are looked at; raise Limits.inflated_bytes",
        )
        return True
    return known


def _engine(kind: str) -> Any:
    if kind in ("gzip", "zlib"):
        import zlib

        return zlib.decompressobj(zlib.MAX_WBITS | (16 if kind == "gzip" else 0))
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor(memlimit=256 << 20)


def _inflate(source: Source, kind: str, most: int) -> tuple[bytes, bool]:
    """Return what the stream inflates to, `most` bytes of it at most, and whether that is all."""
    engine = _engine(kind)
    parts: list[bytes] = []
    left, at, waiting = most, 0, b""
    try:
        while left > 0 and not engine.eof:
            if not waiting:
                waiting = source.read_up_to(at, _CHUNK)
                at += len(waiting)
                if not waiting:
                    break
            piece = engine.decompress(waiting, min(left, _CHUNK))
            waiting = getattr(engine, "unconsumed_tail", b"")
            if kind in ("bzip2", "xz", "lzma") and not engine.needs_input and not engine.eof:
                while piece and not engine.needs_input and left > len(piece):
                    parts.append(piece)
                    left -= len(piece)
                    piece = engine.decompress(b"", min(left, _CHUNK))
            parts.append(piece)
            left -= len(piece)
    except Exception as error:  # noqa: BLE001 - zlib.error, lzma.LZMAError, OSError, EOFError: one meaning
        if not parts:
            raise ContainerError(f"the {kind} stream is broken ({error})") from None
    return b"".join(parts), left > 0
