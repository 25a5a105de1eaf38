"""GGUF files of versions 1 to 3, written by hand after ggml's docs/gguf.md."""

# ruff: noqa: D102, RUF012 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import struct

import pytest
import torch

import weightlift
from weightlift.errors import ContainerError

from .conformance import Conformance
from strategies import element_bytes, name_of

PLAIN = {
    "float32": 0, "float16": 1, "int8": 24, "int16": 25, "int32": 26, "int64": 27, "float64": 28, "bfloat16": 30,
}  # fmt: skip


class Writer:
    """One file: version, byte order, alignment; tensors are (name, shape innermost first, type, bytes)."""

    def __init__(self, version=3, order="<", alignment=32):
        self.version, self.order, self.alignment = version, order, alignment
        self.length = "I" if version == 1 else "Q"

    def pack(self, code, *values):
        return struct.pack(self.order + code, *values)

    def text(self, text):
        raw = text.encode()
        return self.pack(self.length, len(raw)) + raw

    def metadata(self):
        """One value of each kind of metadata."""
        pairs = [
            ("general.alignment", 4, self.pack("I", self.alignment)),
            ("general.name", 8, self.text("tiny")),
            ("flag", 7, self.pack("?", True)),
            ("rate", 6, self.pack("f", 0.5)),
            ("wide", 12, self.pack("d", 0.25)),
            ("small", 1, self.pack("b", -3)),
            ("tokens", 9, self.pack("I", 8) + self.pack(self.length, 2) + self.text("a") + self.text("é")),
            ("nested", 9, self.pack("I", 9) + self.pack(self.length, 1) + self.pack("I", 5) + self.pack(self.length, 2)
             + self.pack("2i", -1, 2)),
        ]  # fmt: skip
        return len(pairs), b"".join(self.text(key) + self.pack("I", kind) + value for key, kind, value in pairs)

    def file(self, tensors):
        count, metadata = self.metadata()
        head = b"GGUF" + self.pack("I", self.version) + self.pack(self.length * 2, len(tensors), count) + metadata
        infos, data = b"", b""
        for name, shape, kind, content in tensors:
            data += bytes(-len(data) % self.alignment)
            infos += self.text(name) + self.pack("I", len(shape)) + self.pack(self.length * len(shape), *shape)
            infos += self.pack("IQ", kind, len(data))
            data += content
        head += infos
        return head + bytes(-len(head) % self.alignment) + data


class TestVersion3(Conformance):
    """Version 3, little-endian."""

    name = "gguf"
    dtypes = [getattr(torch, name) for name in PLAIN]
    keeps_views = False
    writer = Writer()

    def write(self, path, tensors):
        path.with_suffix(".whole").parent.mkdir(exist_ok=True)
        torch.save(tensors, path.with_suffix(".whole"))
        described = []
        for name, tensor in sorted(tensors.items(), key=lambda item: item[1].numel() == 0, reverse=True):
            raw, width = element_bytes(tensor), tensor.element_size()
            if self.writer.order == ">":
                raw = b"".join(raw[i : i + width][::-1] for i in range(0, len(raw), width))
            described.append((name, tensor.shape[::-1], PLAIN[name_of(tensor.dtype)], raw))
        path.write_bytes(self.writer.file(described))

    def truth(self, path):
        held = torch.load(path.with_suffix(".whole"))
        return dict(sorted(held.items(), key=lambda item: item[1].numel() == 0, reverse=True))

    def test_metadata(self, path):
        """Every kind of metadata value is read."""
        details = weightlift.open(path).details
        assert details["version"] == self.writer.version
        assert details["metadata"] == {
            "general.alignment": self.writer.alignment, "general.name": "tiny", "flag": True, "rate": 0.5,
            "wide": 0.25, "small": -3, "tokens": ["a", "é"], "nested": [[-1, 2]],
        }  # fmt: skip


class TestVersion2(TestVersion3):
    """Version 2, with an alignment of its own."""

    writer = Writer(2, alignment=64)


class TestVersion1(TestVersion3):
    """Version 1: lengths and counts of 32 bits."""

    writer = Writer(1)


class TestBigEndian(TestVersion3):
    """Version 3, big-endian."""

    writer = Writer(3, ">")


BLOCKS = {"Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "Q6_K": (14, 256, 210)}


@pytest.mark.parametrize("kind", BLOCKS)
def test_block_quantised_tensors_are_their_bytes(kind, tmp_path):
    """A block-quantised tensor is told by type and shape, with its raw blocks, and extracted as those."""
    number, elements, nbytes = BLOCKS[kind]
    raw = bytes(i % 251 for i in range(3 * 2 * nbytes))
    (tmp_path / "x").write_bytes(Writer().file([("w", (2 * elements, 3), number, raw), ("b", (1,), 0, bytes(4))]))
    checkpoint = weightlift.open(tmp_path / "x")
    assert checkpoint.details["block_quantised"] == {"w": kind}
    weightlift.extract(tmp_path / "x", tmp_path / "out")
    for name in ("x", "out"):
        lazy = weightlift.open(tmp_path / name).state_dict()["w"]
        assert (lazy.class_name, lazy.shape) == (kind, (3, 2 * elements))
        assert lazy.parts["blocks"].tobytes() == raw


def test_rows_that_are_no_whole_blocks_are_refused(tmp_path):
    """A block-quantised row that ends inside a block is an error that names the tensor."""
    (tmp_path / "x").write_bytes(Writer().file([("w", (33,), 8, bytes(68))]))
    with pytest.raises(ContainerError, match="'w' has rows of"):
        weightlift.open(tmp_path / "x")
