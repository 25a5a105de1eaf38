"""Files that run code when they are unpickled (they only try to make a marker), in every container that holds pickles."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile

import builders as b

MODULES = {"antigravity", "this", "idlelib", "turtle", "evilmodule", "pty", "commands", "nt", "lib2to3", "webbrowser"}
"""Modules that these files name, and that nothing else would ever import."""


def every(marker: str) -> dict[str, bytes]:
    """File name -> bytes."""
    pickles = _pickles(marker)
    made = {f"{name}.pkl": data for name, data in pickles.items()}
    for name, data in pickles.items():
        made[f"{name}.pt"] = b.torch_zip(data)
        made[f"{name}.legacy"] = b.torch_legacy(data)
    evil = pickles["reduce"]
    made |= {
        "tar.tar": _tar({"model.pt": b.torch_zip(evil), "weights": evil}),
        "zip.zip": _zip({"a/model.pt": b.torch_zip(evil), "b.pkl": evil}),
        "zip-in-zip.zip": _zip({"a.zip": _zip({"b.pt": b.torch_zip(evil)})}),
        "object.npy": b"\x93NUMPY\1\0" + _header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + evil,
        "call.npy": b"\x93NUMPY\1\0" + _header("{'descr': __import__('os').system('true'), 'shape': (1,)}"),
        "index.json": json.dumps({"weight_map": {"a": "/etc/passwd", "b": "../x", "c": "evilmodule.py"}}).encode(),
        "names.safetensors": b.safetensors(
            json.dumps(
                {"__metadata__": {"weightlift": '{"version":1,"values":{"x":{"global":["antigravity","x"]}}}'}}
            ).encode()
        ),
        "extra.pt": b.torch_zip(
            members={"data/0": b.FOUR_FLOATS, "evil.pkl": evil, "code/__torch__.py": b"import this"}
        ),
        "after.pt": b.torch_zip(b.BENIGN + evil),
    }
    return made


def _pickles(marker: str) -> dict[str, bytes]:
    touch = b.text(f"touch {marker}")
    system = b.named("posix", "system")
    run = {
        "reduce": b.call(system, touch),
        "inst": b"(" + touch + b"iposix\nsystem\n",
        "obj": b"(" + system + touch + b"o",
        "newobj": system + b.tuple_of(touch) + b"\x81",
        "newobj_ex": system + b.tuple_of(touch) + b"}\x92",
        "stack": b.text("os") + b.text("system") + b"\x93" + b.tuple_of(touch) + b"R",
        "build": b.named("evilmodule", "Thing") + b")\x81}" + b.text("__setstate__") + system + b"sb" + touch + b"b",
        "dotted": b.call(b.named("numpy.f2py", "diagnose.os.system"), touch),
        "eval": b.call(b.named("builtins", "eval"), b.text(f"open({marker!r}, 'w')")),
        "import": b.call(b.named("builtins", "__import__"), b.text("antigravity")),
        "getattr": b.call(b.call(b.named("builtins", "getattr"), b.call(b.named("builtins", "__import__"), b.text("os")),
                                 b.text("system")), touch),
        "module": b.named("antigravity", "geohash") + b"0" + b.named("this", "s") + b"0" + b.named("turtle", "Turtle"),
        "codec": b.call(b.named("_codecs", "encode"), b.text("x"), b.text("idlelib")),
        "codec_rot": b.call(b.named("_codecs", "encode"), b.text("x"), b.text("rot13")),
        "extension": b"\x82\1",
        "reconstructor": b.call(b.named("copyreg", "_reconstructor"), b.named("pty", "spawn"), b.named("builtins", "object"), b"N"),
        "partial": b.call(b.named("functools", "partial"), system, touch),
        "reduce_in_key": b"}" + b.call(system, touch) + b"K\1s",
        "nested": b.call(b.named("torch.storage", "_load_from_bytes"), b"B" + _counted(b.torch_legacy(b.pickled(b.call(system, touch))))),
        "jit": b.call(b.named("torch.jit", "load"), touch),
        "factory": b.call(b.named("collections", "defaultdict"), system) + touch + b"Ns",
        "tensor_class": b.call(b.named("torch._tensor", "_rebuild_from_type_v2"), b.named("torch._utils", "_rebuild_tensor_v2"),
                               b.named("webbrowser", "open"), b.tuple_of(b.storage(), b"K\0", b")", b")", b"\x89", b")"), b"}"),
        "layout": b.call(b.named("torch.serialization", "_get_layout"), b.text("antigravity.x")),
    }  # fmt: skip
    return {name: b.pickled(b.dict_of(("weight", b.tensor()), ("x", value))) if name != "nested" else b.pickled(value)
            for name, value in run.items()}  # fmt: skip


def _counted(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _header(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode()


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
