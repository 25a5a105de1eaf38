"""Compressed streams, as joblib and plain gzip write them: inflated in bounds, then looked into."""

from __future__ import annotations

from ..errors import ContainerError
from ..sources import Memory, Source
from ..typed import Any
from .gathered import Gathered
from .lzma_alone import HEADER_NBYTES, header_within, is_lzma_alone
from .pickled import ScanInner

_CHUNK = 1 << 16
_KINDS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
_GUESSED = ("zlib", "lzma")  # their first bytes can be anything's
_LEAST_NBYTES = 1 << 16  # to tell a stream from what begins like one
_COST = {"bzip2": 3}  # beside what the others take for a byte: it is so much slower
_MOST_STREAMS = 5_000  # in one file: bgzip begins one for each 64 KiB
_FEWEST = 16  # bytes out of a broken stream that is only guessed to be one: no call of anything takes fewer


def kind_of(head: bytes) -> str | None:
    """Return what the first bytes are, or could be, compressed with, or None."""
    for magic, kind in _KINDS.items():
        if head.startswith(magic):
            return kind
    if len(head) > 2 and head[0] & 15 == 8 and head[0] < 0x80 and int.from_bytes(head[:2], "big") % 31 == 0:
        return "zlib"
    return "lzma" if is_lzma_alone(head) else None


def scan_compressed(source: Source, kind: str, where: str, gathered: Gathered, inner: ScanInner) -> bool:
    """Look into what compressed streams hold; False where they inflate to nothing known.

    No more than `Limits.inflated_bytes` are held at once, of streams within streams together; what lies beyond is
    told as unreadable.
    """
    cost = _COST.get(kind, 1)
    allowed = gathered.limits.inflated_bytes
    most = max(_LEAST_NBYTES, min(allowed - gathered.held, gathered.inflated_left)) // cost
    inflating = _Inflating(source, kind, most)
    data = inflating.all()
    if kind in _GUESSED and inflating.broken and len(data) < _FEWEST:
        return False
    if inflating.broken and not data:
        gathered.failed(ContainerError(inflating.broken), where)
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
    if known or kind not in _GUESSED:
        _tell_rest(source, inflating, where, gathered, inner)
    if inflating.is_cut and (known or most < allowed // cost):  # after others, too few to tell
        gathered.unreadable(
            "limit",
            where,
            f"inflates to more than {most} bytes, of which the first are looked at; raise Limits.inflated_bytes",
        )
        return True
    return known


def _tell_rest(source: Source, inflating: _Inflating, where: str, gathered: Gathered, inner: ScanInner) -> None:
    """Tell what was not inflated, and look into what follows the last stream."""
    if inflating.broken:
        gathered.failed(ContainerError(inflating.broken), where)
    elif not inflating.is_cut and inflating.end < source.size:
        nbytes = source.size - inflating.end
        gathered.note("trailing-bytes", where, f"{nbytes} bytes follow the last {inflating.kind} stream", inflating.end)
        place = f"{where}: bytes from {inflating.end}" if where else f"bytes from {inflating.end}"
        gathered.depth += 1
        inner(source.window(inflating.end, nbytes), place, gathered)
        gathered.depth -= 1


def _engine(kind: str) -> Any:
    if kind in ("gzip", "zlib"):
        import zlib

        return zlib.decompressobj(zlib.MAX_WBITS | (16 if kind == "gzip" else 0))
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ if kind == "xz" else lzma.FORMAT_ALONE, memlimit=256 << 20)


class _Inflating:
    """The streams of a file, one after another as Python's readers take them, `most` bytes of them at most.

    Afterwards `broken` says how the last one breaks, `is_cut` that there is more, `end` where they end.
    """

    def __init__(self, source: Source, kind: str, most: int) -> None:
        self.source = source
        self.kind = kind
        self.most = most
        self.broken = ""
        self.is_cut = False
        self.end = 0
        self._left = most
        self._waiting = b""
        self._at = 0
        self._parts: list[bytes] = []

    def all(self) -> bytes:
        """Return what they inflate to."""
        for number in range(_MOST_STREAMS + 1):
            before = len(self._parts)
            try:
                self._stream()
            except Exception as error:  # noqa: BLE001 - zlib.error, lzma.LZMAError, OSError, EOFError: one meaning
                if not number or len(self._parts) > before:
                    self.broken = f"the {self.kind} stream is broken ({error})"
                break  # what follows a whole stream and is none, readers pass over
            self._pass_zeros()
            self.end = self._at - len(self._waiting)
            if not self._waiting or self.is_cut or self.broken:
                break
        else:
            self.is_cut = True
        return b"".join(self._parts)

    def _stream(self) -> None:
        """Inflate one stream."""
        engine = _engine(self.kind)
        if self.kind == "lzma":
            self._fill(HEADER_NBYTES)
            self._waiting = header_within(self._waiting, self.most)
        while not engine.eof:
            if not self._waiting and getattr(engine, "needs_input", True) and not self._fill():
                self.broken = f"the {self.kind} stream breaks off"
                return
            if self._left <= 0:
                self.is_cut = True
                return
            piece = engine.decompress(self._waiting, min(self._left, 4 * _CHUNK))
            self._waiting = getattr(engine, "unconsumed_tail", b"")  # the others keep it themselves
            if piece:
                self._parts.append(piece)
                self._left -= len(piece)
        self._waiting = engine.unused_data

    def _fill(self, least: int = 1) -> bool:
        """Read on until so many bytes wait to be inflated; False where they end before."""
        while len(self._waiting) < least:
            more = self.source.read_up_to(self._at, _CHUNK)
            if not more:
                return False
            self._waiting += more
            self._at += len(more)
        return True

    def _pass_zeros(self) -> None:
        """Pass over the zeros that may pad a stream."""
        while self._fill():
            self._waiting = self._waiting.lstrip(b"\0")
            if self._waiting:
                return
