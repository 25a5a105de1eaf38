"""GGUF, the file of llama.cpp: metadata, names, shapes; plain element types as tensors.

Follows ggml's docs/gguf.md (versions 1 to 3). Dimensions are stored innermost first and turned round
here. Block-quantised types are told by name, shape and bytes; their values are not unpacked.
"""

from __future__ import annotations

from struct import Struct

from ..checkpoint import Checkpoint
from ..dtypes import DTYPES, DType
from ..errors import ContainerError, LimitError, shown
from ..findings import Finding
from ..limits import Limits
from ..pickles import Dict
from ..sources import Source
from ..tensors import Composite, Storage, Tensor
from ..tensors.lazy import contiguous
from ..typed import Any
from .base import Format, Opening, Probe

MAGIC = b"GGUF"
_CHUNK = 1 << 16
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_LISTED = 1_000_000  # values of one array; a vocabulary has a quarter of that
_MOST_KEPT = 4 * _MOST_LISTED  # of all arrays
_PLAIN = {
    0: "float32", 1: "float16", 24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "float64", 30: "bfloat16",
}  # fmt: skip
# id -> name, elements per block, bytes per block
_BLOCKS = {
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip


class _Reader:
    """The header from front to back, in chunks."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.buffer = b""
        self.buffer_at = 0
        self.at = 0
        self.order = "<"
        self.length = "Q"
        self.text_left = limits.text_bytes
        self.values_left = limits.nodes
        self.kept_left = _MOST_KEPT

    def take(self, nbytes: int) -> bytes:
        start = self.at - self.buffer_at
        if start + nbytes > len(self.buffer):
            self.source.read_at(self.at, 0)
            self.buffer = self.source.read_up_to(self.at, max(nbytes, _CHUNK))
            self.buffer_at, start = self.at, 0
            if len(self.buffer) < nbytes:
                self.source.read_at(self.at, nbytes)  # raises: the file ends too early
        self.at += nbytes
        return self.buffer[start : start + nbytes]

    def number(self, code: str) -> Any:
        layout = Struct(self.order + code)
        return layout.unpack(self.take(layout.size))[0]

    def text(self) -> str:
        nbytes = self.number(self.length)
        self.text_left -= nbytes
        if self.text_left < 0:
            raise LimitError(f"strings of more than {self.limits.text_bytes} bytes")
        return self.take(nbytes).decode("utf-8", "backslashreplace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY and depth < 8:
            inner, count = self.number("I"), self.number(self.length)
            if count > self.limits.nodes:
                raise LimitError(f"an array of {count} values", expected=f"at most {self.limits.nodes}")
            self.values_left -= count
            if self.values_left < 0:
                raise LimitError(f"arrays of more than {self.limits.nodes} values", remedy="raise Limits.nodes")
            if count > min(_MOST_LISTED, self.kept_left):
                return self.skipped(inner, count, depth)
            self.kept_left -= count
            if inner in _SCALARS:
                layout = Struct(f"{self.order}{count}{_SCALARS[inner]}")
                return list(layout.unpack(self.take(layout.size)))
            return [self.value(inner, depth + 1) for _ in range(count)]
        raise ContainerError(f"a metadata value of type {kind} at byte {self.at}", expected="0 to 12")

    def skipped(self, kind: int, count: int, depth: int) -> str:
        """Pass over an array that is too long to keep, and say what it was."""
        if kind in _SCALARS:
            nbytes = count * Struct(self.order + _SCALARS[kind]).size
            self.source.window(self.at, nbytes, "metadata")  # raises where the file ends before
            self.at += nbytes
            self.buffer, self.buffer_at = b"", self.at
        else:
            for _ in range(count):
                self.value(kind, depth + 1)
        return f"an array of {count} values of type {kind}, not listed"


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    reader = _Reader(probe.source, opening.limits)
    reader.take(4)
    version = reader.number("I")
    if version & 0xFFFF == 0:
        reader.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
    if not 1 <= version <= 3:
        raise ContainerError(f"GGUF version {version}", expected="1 to 3")
    if version == 1:
        reader.length = "I"
    count, pairs = reader.number(reader.length), reader.number(reader.length)
    if max(count, pairs) > opening.limits.members:
        raise LimitError(f"{count} tensors and {pairs} metadata entries", expected=f"at most {opening.limits.members}")
    metadata = {}
    for _ in range(pairs):
        key = reader.text()
        metadata[key] = reader.value(reader.number("I"))
    infos = [_info(reader) for _ in range(count)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment <= 0:
        raise ContainerError(f"alignment {shown(alignment, 40)}", expected="a positive integer")
    tree, packed = _tensors(probe.source, infos, reader.at + -reader.at % alignment, little_endian=reader.order == "<")
    findings = []
    if packed:
        kinds = ", ".join(sorted(set(packed.values())))
        message = f"{len(packed)} tensors are block-quantised ({kinds}): their values are not unpacked"
        findings.append(Finding("block-quantised", "warning", "", message))
    return Checkpoint(
        tree,
        format="gguf",
        source=probe.source,
        details={"version": version, "metadata": metadata, "block_quantised": packed},
        findings=tuple(findings),
        limits=opening.limits,
    )


def _info(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    name = reader.text()
    dimensions = reader.number("I")
    if dimensions > reader.limits.dimensions:
        raise LimitError(f"{name!r} has {dimensions} dimensions", expected=f"at most {reader.limits.dimensions}")
    shape = tuple(reader.number(reader.length) for _ in range(dimensions))
    return name, shape[::-1], reader.number("I"), reader.number("Q")


def _tensors(
    source: Source, infos: list[tuple[str, tuple[int, ...], int, int]], base: int, *, little_endian: bool
) -> tuple[Dict, dict[str, str]]:
    tree, packed = Dict("dict"), {}
    for name, shape, kind, offset in infos:
        if name in tree:
            raise ContainerError(f"two tensors are called {name!r}", expected="each name once")
        if kind in _PLAIN:
            dtype = DTYPES[_PLAIN[kind]]
        elif kind in _BLOCKS:
            label, elements, nbytes = _BLOCKS[kind]
            packed[name] = label
            blocks = _tensor(source, base + offset, DTYPES["uint8"], _blocks(name, shape, elements, nbytes))
            tree[name] = Composite(
                "ggml_blocks", None, shape, {"blocks": blocks}, {"ggml_type": label}, class_name=label
            )
            continue
        else:
            raise ContainerError(f"{name!r} is of ggml type {kind}", expected="a type of this format's version")
        tree[name] = _tensor(source, base + offset, dtype, shape, little_endian=little_endian)
    return tree, packed


def _tensor(source: Source, at: int, dtype: DType, shape: tuple[int, ...], *, little_endian: bool = True) -> Tensor:
    probe = contiguous(dtype, shape, Storage("", 0))
    data = source.window(at, probe.nbytes)
    return contiguous(dtype, shape, Storage("", probe.nbytes, data, little_endian=little_endian))


def _blocks(name: str, shape: tuple[int, ...], elements: int, nbytes: int) -> tuple[int, ...]:
    """Return the shape of the raw blocks, in bytes: the innermost dimension is a row of blocks."""
    if not shape or shape[-1] % elements:
        raise ContainerError(f"{name!r} has rows of {shape[-1:]} elements", expected=f"a multiple of {elements}")
    return (*shape[:-1], shape[-1] // elements * nbytes)


FORMAT = Format("gguf", lambda probe: probe.head.startswith(MAGIC), _open)
