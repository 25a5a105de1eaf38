"""Pickles that would make a marker file, and places to hide them in. None is ever loaded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable

from builders import BENIGN, FOUR_FLOATS, call, dict_of, integer, named, pickled, tensor, text, torch_legacy, torch_zip

COMMAND = "touch /nonexistent/marker"
CALL = f"posix.system({COMMAND!r})"
EVIL_VALUE = call(named("posix", "system"), text(COMMAND))
EVIL = pickled(EVIL_VALUE)
PROTOCOL_0 = b"cposix\nsystem\n(S'" + COMMAND.encode() + b"'\ntR."


def short_bytes(data: bytes) -> bytes:
    """SHORT_BINBYTES."""
    return b"C" + bytes((len(data),)) + data


def latin1(data: bytes) -> bytes:
    """How protocol 2 spells bytes: text, and a call that encodes it."""
    return call(named("_codecs", "encode"), text(data.decode("latin1")), text("latin1"))


def long_bytes(data: bytes) -> bytes:
    """BINBYTES of so many that they are left in the file."""
    padded = data + bytes(1 << 17)
    return b"B" + struct.pack("<I", len(padded)) + padded


def zipped(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these members; one name may stand twice."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            archive.writestr(info, data)
    return out.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    """A tar of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def npy(descr: str, data: bytes) -> bytes:
    """A .npy file of two elements."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': (2,)}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def benign_with(value: bytes) -> bytes:
    """A state dict with one more value in it."""
    return pickled(dict_of(("weight", tensor()), ("more", value)))


PLACES: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda evil: evil,
    "data.pkl": torch_zip,
    "member-of-any-name": lambda evil: torch_zip(members={"data/0": FOUR_FLOATS, "notes.txt": evil}),
    "member-called-code": lambda evil: torch_zip(members={"data/0": FOUR_FLOATS, "code/a.py": evil}),
    "among-the-storages": lambda evil: torch_zip(members={"data/0": FOUR_FLOATS, "data/1": evil}),
    "deflated-member": lambda evil: zipped(("a.bin", evil), compression=zipfile.ZIP_DEFLATED),
    "after-stop": lambda evil: torch_zip(BENIGN + evil),
    "after-garbage-follows": lambda evil: torch_zip(evil[:-1] + b"\xff\xff"),
    "before-the-magic": lambda evil: evil + torch_legacy(),
    "legacy-object": torch_legacy,
    "behind-the-storages": lambda evil: torch_legacy() + evil,
    "zip-behind-the-storages": lambda evil: torch_legacy() + torch_zip(evil),
    "before-a-zip": lambda evil: evil + torch_zip(),
    "zip-behind-a-pickle": lambda evil: pickled(b"N") + torch_zip(evil),
    "zip-in-zip": lambda evil: zipped(("inner.zip", torch_zip(evil))),
    "tar-in-zip": lambda evil: zipped(("inner.tar", tarred(("weights.ckpt", evil)))),
    "tar-member": lambda evil: tarred(("model_config.yaml", b"a: 1\n"), ("model_weights.ckpt", torch_zip(evil))),
    "tar-duplicate": lambda evil: tarred(("a", BENIGN), ("a", evil)),
    "torch-tar-storages": lambda evil: tarred(("storages", evil), ("tensors", pickled(b"K\0")), ("pickle", BENIGN)),
    "duplicate-first": lambda evil: zipped(("archive/data.pkl", evil), ("archive/data.pkl", BENIGN)),
    "duplicate-last": lambda evil: zipped(("archive/data.pkl", BENIGN), ("archive/data.pkl", evil)),
    "two-roots": lambda evil: zipped(("archive/data.pkl", BENIGN), ("other/data.pkl", evil)),
    "second-end-record": lambda evil: torch_zip() + torch_zip(evil),
    "first-of-two-zips": lambda evil: torch_zip(evil) + torch_zip(),
    "truncated-zip": lambda evil: torch_zip(evil)[:-30],
    "constants.pkl": lambda evil: torch_zip(members={"constants.pkl": evil}),
    "npy": lambda evil: npy("|O", evil),
    "npz": lambda evil: zipped(("a.npy", npy("<f8", bytes(16))), ("b.npy", npy("|O", evil))),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "gzip-in-zip": lambda evil: zipped(("weights.bin", gzip.compress(evil))),
    "loaded-by-torch": lambda evil: torch_zip(
        benign_with(call(named("torch.storage", "_load_from_bytes"), short_bytes(evil)))
    ),
    "in-bytes": lambda evil: torch_zip(benign_with(short_bytes(evil))),
    "in-text": lambda evil: torch_zip(benign_with(latin1(evil))),
    "in-long-bytes": lambda evil: torch_zip(benign_with(long_bytes(evil))),
}
"""Where -> how a pickle gets there."""

KINDS: dict[str, bytes] = {
    "reduce": EVIL,
    "stack-global": b"\x80\x04" + text("posix") + text("system") + b"\x93" + text(COMMAND) + b"\x85R.",
    "inst": b"\x80\x02(" + text(COMMAND) + b"iposix\nsystem\n.",
    "obj": b"\x80\x02(" + named("posix", "system") + text(COMMAND) + b"o.",
    "newobj": pickled(named("posix", "system") + text(COMMAND) + b"\x85\x81"),
    "newobj-ex": b"\x80\x04" + named("posix", "system") + text(COMMAND) + b"\x85}\x92.",
    "popped": pickled(EVIL_VALUE + b"0N"),
    "through-the-memo": pickled(named("posix", "system") + b"q\x050h\x05" + text(COMMAND) + b"\x85R"),
    "in-a-state": pickled(named("types", "SimpleNamespace") + b")\x81" + dict_of(("x", EVIL_VALUE)) + b"b"),
    "from-type": pickled(
        call(
            named("torch._tensor", "_rebuild_from_type_v2"),
            named("posix", "system"),
            named("torch", "Tensor"),
            b"(" + text(COMMAND) + b"t",
            b"}",
        )
    ),
    "in-base-16": pickled(b"I0x10\n0" + EVIL_VALUE),
    "after-a-broken-tensor": pickled(call(named("torch._utils", "_rebuild_tensor_v2"), integer(1)) + b"0" + EVIL_VALUE),
}
"""How the call is spelled."""
