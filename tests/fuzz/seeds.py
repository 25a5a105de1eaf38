"""Small files of every kind to begin with, written by torch, numpy and the builders of the tests, in memory.

`write(folder)` puts them into files, since writing them needs torch and fuzzing does not.
"""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import tempfile
import warnings
from typing import Any

import builders
from .mutators.step_directories import packed, unpacked

Seeds = dict[str, list[bytes]]


def every() -> Seeds:
    """Kind -> its first files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zips, legacy = _torch_files()
        pickles = [_pickle_of(data) for data in zips]
        made: Seeds = {
            "pickle": [*_plain_pickles(), *_hostile_pickles()],
            "torch_pickle": [each for each in pickles if each] + _hostile_pickles(),
            "zip": [builders.torch_zip(), zips[0], *_torchscript(), *_npz(), _archive()],
            "legacy": [builders.torch_legacy(), *legacy],
            "tar": _tars(),
            "safetensors": _safetensors(),
            "npy": [*_npy(), *_npz()],
            "gguf": _gguf(),
            "index": _indexes(),
            "dcp": _dcp_metadata(),
            "plan": _plans(),
            "codec": _documents(),
            "step": _steps(),
        }
        made["machine"] = [*made["pickle"], *made["torch_pickle"]]
        made["manifest"] = [unpacked(data)["MANIFEST.json"] for data in made["step"]]
    return made


def write(folder: str) -> None:
    """Put every seed into folder/kind/number."""
    for kind, seeds in every().items():
        os.makedirs(os.path.join(folder, kind), exist_ok=True)
        for number, data in enumerate(seeds):
            with open(os.path.join(folder, kind, f"seed{number:03d}"), "wb") as file:
                file.write(data)


def read(folder: str, kind: str) -> list[bytes]:
    """The seeds of a kind, as `write` put them there."""
    names = sorted(name for name in os.listdir(os.path.join(folder, kind)) if name.startswith("seed"))
    out = []
    for name in names:
        with open(os.path.join(folder, kind, name), "rb") as file:
            out.append(file.read())
    return out


def _torch_values() -> list[Any]:
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    base = torch.arange(6.0)
    quantized = torch.quantize_per_channel(torch.ones(2, 2), torch.ones(2), torch.zeros(2), 0, torch.qint8)
    return [
        {"weight": torch.ones(2, 2), "bias": torch.zeros(2)},
        model.state_dict(),
        model,
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "args": {"lr": 0.1}},
        {"a": base, "b": base[2:4], "c": base.view(2, 3).t(), "d": torch.ones(1).expand(3)},
        [torch.eye(2).to_sparse(), torch.eye(2).to_sparse_csr(), quantized, torch.quantize_per_tensor(base, 1, 0, torch.quint8)],
        {"p": nn.Parameter(base), "h": base.half(), "c": torch.ones(1, dtype=torch.complex64).conj(), "m": torch.ones(2, device="meta")},
        nn.ModuleDict({"conv": nn.Conv2d(1, 1, 1), "rnn": nn.LSTM(1, 1)}),
        nn.utils.parametrizations.weight_norm(nn.Linear(1, 1)).state_dict(),
        torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),
    ]  # fmt: skip


def _torch_files() -> tuple[list[bytes], list[bytes]]:
    import torch

    zips, legacy = [], []
    for value in _torch_values():
        for new, made in ((True, zips), (False, legacy)):
            out = io.BytesIO()
            torch.save(value, out, _use_new_zipfile_serialization=new)
            made.append(out.getvalue())
    out = io.BytesIO()
    torch.save(_torch_values()[1], out, pickle_protocol=4)
    return [*zips, out.getvalue()], legacy


def _pickle_of(data: bytes) -> bytes:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name)


def _plain_pickles() -> list[bytes]:
    import numpy as np
    import torch

    shared = [1, 2.5, "text", b"bytes", None, True, 10**30, 1j]
    values: list[Any] = [
        {"a": shared, "b": shared, (1, 2): {3, 4}, "f": frozenset({5}), "t": (1,), "e": (), "n": -5},
        collections.OrderedDict(a=1, b=collections.defaultdict(list, x=[1]), c=collections.Counter("aab")),
        {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.float64(1.5), "o": np.array([None, "a"], dtype=object)},
        {"w": torch.ones(2), "x": [torch.zeros(1)]},
        bytearray(b"abc"),
    ]  # fmt: skip
    return [pickle.dumps(value, protocol) for value in values for protocol in range(6)]


def _hostile_pickles() -> list[bytes]:
    b = builders
    system = b.call(b.named("posix", "system"), b.text("touch MARKER"))
    return [
        b.pickled(b.dict_of(("weight", b.tensor()), ("x", system))),
        b.pickled(b.dict_of(("weight", b.tensor(where=b.storage() + b"0" + system)))),
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02" + b")" + b"2\x86" * 30 + b".",
        b"(S'touch MARKER'\niposix\nsystem\n.",
        b"\x80\x02\x82\x01).",
        b"]\x94h\x00a.",
    ]


def _torchscript() -> list[bytes]:
    import torch

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(Small(), torch.ones(1, 1)), out)
    return [out.getvalue()]


def _npy() -> list[bytes]:
    import numpy as np

    arrays = [np.arange(3, dtype=np.float32), np.ones((2, 2), order="F"), np.array(1, dtype=">i4"), np.array(["a"]),
              np.zeros(1, dtype=[("a", "<f4"), ("b", "<i2")])]  # fmt: skip
    out = []
    for array in arrays:
        file = io.BytesIO()
        np.save(file, array)
        out.append(file.getvalue())
    file = io.BytesIO()
    np.lib.format.write_array(file, arrays[0], version=(2, 0))
    return [*out, file.getvalue()]


def _npz() -> list[bytes]:
    import numpy as np

    out = []
    for write_npz in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        write_npz(file, a=np.arange(2.0), b=np.int8(1))
        out.append(file.getvalue())
    return out


def _archive() -> bytes:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("policy.pth", builders.torch_zip())
        archive.writestr("data", b"{}")
        archive.writestr("old.bin", builders.torch_legacy())
    return out.getvalue()


def _tars() -> list[bytes]:
    old = {"storages": b"\x80\x02K\1." + b"\x80\x02K\0X\3\0\0\0cpuctorch\nFloatStorage\n\x87." + struct.pack("<q", 4),
           "tensors": b"\x80\x02K\0.", "pickle": builders.pickled(builders.dict_of(("a", b"K\1")))}  # fmt: skip
    out = []
    for kind, members in ((tarfile.USTAR_FORMAT, old), (tarfile.GNU_FORMAT, {"a" * 120: builders.torch_zip()}),
                          (tarfile.PAX_FORMAT, {"é" * 60: builders.torch_legacy(), "b": b"x"})):  # fmt: skip
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        out.append(file.getvalue())
    return out


def _safetensors() -> list[bytes]:
    import torch

    import weightlift as wl

    out = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.safetensors")
        for value in (
            _torch_values()[0],
            _torch_values()[4],
            {"w": torch.ones(1, dtype=torch.complex64), "_extra_state": (1, 2)},
        ):
            wl.StateDict.of(value).save(path) if hasattr(wl.StateDict, "of") else None
            with open(path, "rb") as file:
                out.append(file.read())
    plain = {
        "__metadata__": {"format": "pt", "b.w": "a.w"},
        "a.w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    }
    return [*out, builders.safetensors(json.dumps(plain).encode(), builders.FOUR_FLOATS)]


def _gguf() -> list[bytes]:
    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    pairs = [text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama"),
             text(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + text(b"a") + text(b"b"),
             text(b"n") + struct.pack("<IIQ3I", 9, 4, 3, 1, 2, 3), text(b"x") + struct.pack("<If", 6, 1.5),
             text(b"nested") + struct.pack("<IIQIQ2B", 9, 9, 1, 0, 2, 1, 2)]  # fmt: skip
    tensors = text(b"w") + struct.pack("<IQIQ", 1, 4, 0, 0) + text(b"q") + struct.pack("<IQQIQ", 2, 32, 1, 8, 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, len(pairs)) + b"".join(pairs) + tensors
    body = head + bytes(-len(head) % 32) + builders.FOUR_FLOATS.ljust(32, b"\0") + bytes(34)
    return [body, b"GGUF" + struct.pack("<IQQ", 2, 0, 0), b"GGUF" + struct.pack("<III", 1, 0, 0)]


def _indexes() -> list[bytes]:
    shards = {"weight_map": {"a": "one.safetensors", "b": "two.bin", "c": "one.safetensors"}}
    return [json.dumps(shards | {"metadata": {"total_size": 32}}).encode(),
            json.dumps({"weight_map": {"a": "one.safetensors"}, "metadata": {"weightlift_names": ["a"]}}).encode()]  # fmt: skip


def _dcp_metadata() -> list[bytes]:
    import torch
    import torch.distributed.checkpoint as dcp

    with tempfile.TemporaryDirectory() as folder:
        dcp.save({"model": {"w": torch.ones(2), "b": torch.zeros(1)}, "step": 3}, checkpoint_id=folder, no_dist=True)
        with open(os.path.join(folder, ".metadata"), "rb") as file:
            return [file.read()]


def _plans() -> list[bytes]:
    head = 'plan = 1\nsource = { schema = "sha256:0" }\ndims = { heads = 2 }\n'
    rules = [
        "layer.{i}.attention.self.{query,key,value}.{t} -> {i}.attn.qkv.{t} : cat(0)\nlayer.{i}.out.{t} -> {i}.attn.proj.{t}",
        'h.{i}.c_attn.weight -> blocks.{i}.qkv.weight : t\nlayers.{2*i}.** -> blocks.{i}.**\nrest.** -> drop "none"',
        'h.{i}.moe.{e}.{w1,w3}.weight -> blocks.{i}.experts : stack(0, e) | cat(1)\ninit -> adapter.** "new"',
        "pos -> pos : resize(grid, prefix=1) !lossy\nhead.weight[0:1] -> head.weight[0:1] : rest=init !partial",
        "embed.weight => lm_head.weight : tie\nw -> w : rearrange('(q d) k -> q d k', q=2) | reshape(2, -1) optional",
        "a.** -> b.** : cast(float16) | scale(0.5) !lossy\n# a comment\n{t}.x -> {t}.y : permute(1, 0) | slice(0, 0, 2)",
    ]  # fmt: skip
    out = [
        f'{head}\n[[block]]\nsource = "module."\ntarget = "m."\nrules = """\n{text}\n"""\n'.encode() for text in rules
    ]
    return [*out, *(f'plan = 1\n[[block]]\nrules = """\n{text}\n"""\n'.encode() for text in rules)]


def _documents() -> list[bytes]:
    import datetime as dt
    import decimal
    import pathlib

    from weightlift.codec import Encoder

    value = {
        "a": [1, 2.5, "x", None, (1, 2), {3: 4}, {1}, frozenset({2}), b"ab", 10**30, float("nan"), 1j, range(3), slice(1)],
        "b": [pathlib.PurePosixPath("a"), decimal.Decimal("1.5"), dt.datetime(2020, 1, 1), dt.timedelta(1)],  # noqa: DTZ001
        "c": list(range(70)),
        "d": collections.OrderedDict(a=collections.deque([1], 3), b=collections.Counter("a"), c=bytearray(b"z")),
    }  # fmt: skip
    shared = {"s": [1]}
    more = {
        "t": {"$tensor": "a"},
        "n": {"$array": "raw", "dtype": "|u1"},
        "z": {"$torch": "float32"},
        "u": {"$size": [1, 2]},
    }
    return [json.dumps(Encoder().encode(value, "meta")).encode(), json.dumps(Encoder().encode([shared, shared], "meta")).encode(),
            json.dumps(more).encode()]  # fmt: skip


def _steps() -> list[bytes]:
    import torch

    import weightlift as wl
    from weightlift.writers.leftovers import settled

    model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model(torch.ones(1, 1)).backward()
    optimizer.step()
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for number, parts in enumerate(
            ({"model": model}, {"model": model, "optimizer": optimizer, "config": {"a": (1, 2)}})
        ):
            path = os.path.join(folder, str(number))
            wl.save(path, step=number, **parts)
            files = {}
            for name in sorted(os.listdir(settled(path))):
                with open(os.path.join(settled(path), name), "rb") as file:
                    files[name] = file.read()
            out.append(packed(files))
    return out


if __name__ == "__main__":
    write(sys.argv[1])
