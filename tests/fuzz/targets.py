"""What is done with a changed file: everything that a user does with one, short of writing.

Each function lets nothing out but `WeightliftError`; what else comes out of it is a finding.
"""

from __future__ import annotations

import binascii
import json
import os
import shutil
import struct
from collections.abc import Callable
from typing import Any

from weightlift.actions.inspect import describe
from weightlift.checkpoint import Checkpoint
from weightlift.codec import decode
from weightlift.dtypes import DTYPES
from weightlift.errors import PlanError, WeightliftError
from weightlift.faces.as_json import error_json, inspection_json
from weightlift.faces.text import render_inspection
from weightlift.formats import Opening, open_source
from weightlift.formats.nested import NestedBlobs
from weightlift.formats.step import open_step, verify_step
from weightlift.formats.step_parts import tree_of
from weightlift.formats.torch_legacy import _Storages
from weightlift.mapping.plan import Plan
from weightlift.pickles import read_pickle
from weightlift.scans.scan import scan_source
from weightlift.sources import Memory
from weightlift.tensors import Storage, Tensor, rebuilders
from weightlift.tensors.lazy import contiguous
from weightlift.tree import tensors_in
from weightlift.writers.layout import plan_layout
from weightlift.writers.manifest import Manifest

_READ = 1 << 16  # bytes of one tensor that are read
_LONGEST_MESSAGE = 20_000


class BadMessageError(Exception):
    """An error whose message a terminal or a log should not get."""


def tried(work: Callable[[], Any]) -> Any:
    """What the work returns, or None after one of our errors, whose message is short and printable."""
    try:
        return work()
    except WeightliftError as error:
        told = str(error)
        if isinstance(error, PlanError):  # shows lines of the plan, and every problem of it
            told = told.replace("\n", "")[:_LONGEST_MESSAGE]
        if not told.isprintable() or len(told) > _LONGEST_MESSAGE:
            raise BadMessageError(ascii(told[:500])) from error
        if len(told) % 16 == 0:
            json.loads(error_json(error))
        return None


def source_of(data: bytes, name: str = "fuzz.pt") -> Memory:
    """The bytes as a file in memory."""
    return Memory(data, name)


def read_source(source: Memory) -> None:
    """Open, inspect as text and JSON, read every small tensor, and lay out each state dict as extract does."""
    if source.size:
        scan_source(source)
    checkpoint = tried(lambda: open_source(source, Opening()))
    if checkpoint is None:
        return
    inspection = tried(lambda: describe(checkpoint, source.name))
    if inspection is not None:
        text = render_inspection(inspection, width=100)
        if not text.replace("\n", "").isprintable():
            raise BadMessageError(ascii(text[:500]))
        json.loads(inspection_json(inspection))
    tried(lambda: _read_state_dicts(checkpoint))
    tried(lambda: checkpoint.findings)
    tried(checkpoint.state_dict)


def _read_state_dicts(checkpoint: Checkpoint) -> None:
    for state_dict in checkpoint.state_dicts.values():
        entries = {key: value for key, value in state_dict.items() if isinstance(key, str)}
        tried(lambda: plan_layout(entries, state_dict.versions))  # noqa: B023 - called at once
        for value in state_dict.values():
            for tensor in tensors_in(value):
                if isinstance(tensor, Tensor):
                    tried(lambda: _read_tensor(tensor))  # noqa: B023 - called at once


def _read_tensor(tensor: Tensor) -> None:
    tensor.check()
    if tensor.numel <= _READ and len(tensor.tobytes()) != tensor.nbytes:
        raise BadMessageError(f"{tensor!r} gives another number of bytes than {tensor.nbytes}")


def any_file(data: bytes) -> None:
    """A whole file."""
    read_source(source_of(data))


_REBUILD = rebuilders(storage_from_bytes=NestedBlobs(Opening()))


def machine(data: bytes) -> None:
    """The opcodes of a pickle, with everything that the table of globals rebuilds, and nothing after it."""
    tried(lambda: read_pickle(source_of(data), rebuild=_REBUILD, persistent=_Storages(little_endian=True)))


def bare_pickle(data: bytes) -> None:
    """A pickle without a container."""
    read_source(source_of(data))


def manifest(data: bytes) -> None:
    """The manifest of a checkpoint directory: what is read is written again byte for byte."""
    found = tried(lambda: Manifest.from_bytes(data))
    if found is not None and found.to_bytes() != data:
        raise BadMessageError("a manifest that is spelled in two ways")


def torch_pickle(data: bytes) -> None:
    """A pickle as the `data.pkl` of a torch zip that holds a few storages."""
    read_source(source_of(stored_zip(data)))


_STORAGES = {f"archive/data/{number}": bytes(range(64)) for number in range(4)}


def stored_zip(pickle: bytes) -> bytes:
    """A zip of a pickle and storages of 64 bytes, faster than the standard library makes one."""
    locals_, central, at = [], [], 0
    for name, data in {"archive/data.pkl": pickle, "archive/version": b"3\n", **_STORAGES}.items():
        told = name.encode()
        crc = binascii.crc32(data)
        head = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, crc, len(data), len(data), len(told), 0) + told
        central.append(
            struct.pack(
                "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, crc, len(data), len(data), len(told), 0, 0, 0, 0, 0, at
            )
            + told
        )
        locals_ += [head, data]
        at += len(head) + len(data)
    directory = b"".join(central)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(central), len(central), len(directory), at, 0)
    return b"".join(locals_) + directory + end


class _InFolder(Memory):
    """Bytes that say they lie in a folder."""

    __slots__ = ("path",)

    def __init__(self, data: bytes, path: str) -> None:
        super().__init__(data, os.path.basename(path))
        self.path = path


class Index:
    """An index beside two shards that stay as they are."""

    def __init__(self, folder: str) -> None:
        import builders

        self.folder = folder
        header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"c":{"dtype":"U8","shape":[0],"data_offsets":[16,16]}}'
        shards = {"one.safetensors": builders.safetensors(header, builders.FOUR_FLOATS),
                  "two.bin": builders.torch_zip(builders.pickled(builders.dict_of(("b", builders.tensor()))))}  # fmt: skip
        for name, data in shards.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)

    def __call__(self, data: bytes) -> None:
        """Read the index and what it names."""
        read_source(_InFolder(data, os.path.join(self.folder, "model.index.json")))


def _tensor(shape: tuple[int, ...]) -> Tensor:
    nbytes = 4
    for size in shape:
        nbytes *= size
    return contiguous(DTYPES["float32"], shape, Storage("w", nbytes, Memory(bytes(nbytes))))


_WEIGHTS = {
    **{f"layer.{i}.attention.self.{name}.weight": _tensor((2, 2)) for i in range(2) for name in ("query", "key", "value")},
    **{f"h.{i}.c_attn.weight": _tensor((2, 6)) for i in range(2)},
    **{f"h.0.moe.{e}.{w}.weight": _tensor((2, 3)) for e in range(2) for w in ("w1", "w3")},
    "pos": _tensor((1, 5, 2)), "head.weight": _tensor((3, 2)), "embed.weight": _tensor((4, 2)), "w": _tensor((4, 2)),
}  # fmt: skip


def plan(data: bytes) -> None:
    """A plan file: parsed, checked against a few weights, and turned round."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    parsed = tried(lambda: Plan.parse(text))
    if parsed is None:
        return
    tried(lambda: [str(problem) for problem in parsed.check(_WEIGHTS).problems])
    tried(lambda: parsed.invert(_WEIGHTS))
    tried(lambda: plan_layout(dict(parsed.state_dict(_WEIGHTS))))


_TENSORS = {"a": _tensor((2,)), "raw": contiguous(DTYPES["uint8"], (8,), Storage("r", 8, Memory(bytes(8))))}


def codec(data: bytes) -> None:
    """A state document, as a value and as the parts of a checkpoint."""
    try:
        doc = json.loads(data)
    except (ValueError, RecursionError):
        return
    tried(lambda: decode(doc, lambda name, _: _TENSORS[name]))
    if isinstance(doc, dict):
        tried(lambda: tree_of(doc, _TENSORS))


class Step:
    """A checkpoint directory, written out to be opened."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(folder, "step")

    def __call__(self, data: bytes) -> None:
        """Read the manifest alone, then the directory three ways."""
        from .mutators.step_directories import unpacked

        files = unpacked(data)
        manifest = files.get("MANIFEST.json", b"")
        tried(lambda: Manifest.from_bytes(manifest))
        self._write(files)
        tried(lambda: open_step(self.folder))
        if len(manifest) & 1:
            tried(lambda: verify_step(self.folder))
        read_source(_InFolder(manifest, os.path.join(self.folder, "MANIFEST.json")))

    def _write(self, files: dict[str, bytes]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        for name, data in files.items():
            if "/" in name or name in ("", ".", "..") or "\0" in name:
                continue
            try:
                with open(os.path.join(self.folder, name), "wb") as file:
                    file.write(data)
            except (OSError, UnicodeError):
                continue
