"""The files that are measured, made on the spot: nothing is downloaded and nothing is kept.

torch writes transformers, in a process of its own, so that the measuring one stays small. To see whether
the size of a file matters, a state dict is written by hand with holes for its storages, which needs
neither torch nor disk.
"""

from __future__ import annotations

import os
import subprocess
import sys

_MAKE = """
import sys, warnings, torch
from torch import nn
warnings.filterwarnings("ignore")
folder, width, layers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
block = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True)
model = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
for name, what in (("state-dict", model.state_dict()), ("module", model)):
    if name in sys.argv[4:]:
        torch.save(what, f"{folder}/{name}.pt")
    if name + "-legacy" in sys.argv[4:]:
        torch.save(what, f"{folder}/{name}-legacy.pt", _use_new_zipfile_serialization=False)
"""
_MAKE_TRANSPOSED = """
import sys, torch
n = int((int(sys.argv[2]) / 4) ** 0.5)
torch.save({"weight": torch.randn(n, n).t()}, sys.argv[1])
"""
_MAKE_MANY = """
import sys, torch
for i in range(int(sys.argv[2])):
    pairs = ((f"layers.{j // 2}.{('weight', 'bias')[j % 2]}", torch.ones(4, 4)) for j in range(10 + i % 90))
    torch.save(dict(pairs), f"{sys.argv[1]}/{i:04}.pt")
"""
KINDS = ("state-dict", "module", "state-dict-legacy", "module-legacy")


def make_transformer(folder: str, nbytes: int, *kinds: str, layers: int = 24, python: str = sys.executable) -> None:
    """Write `<kind>.pt` of about `nbytes` into a folder for each kind; `python` needs torch."""
    width = max(8, round((nbytes / (4 * 12 * layers)) ** 0.5 / 8) * 8)  # 12 width^2 elements of 4 bytes in a block
    subprocess.run([python, "-c", _MAKE, folder, str(width), str(layers), *kinds], check=True)


def make_transposed(path: str, nbytes: int, *, python: str = sys.executable) -> None:
    """Write a square matrix of about `nbytes`, saved as its transpose, which no reader can copy as it lies."""
    subprocess.run([python, "-c", _MAKE_TRANSPOSED, path, str(nbytes)], check=True)


def make_small_state_dicts(folder: str, count: int, *, python: str = sys.executable) -> None:
    """Write `0000.pt` and so on into a folder: state dicts of 10 to 99 small tensors; `python` needs torch."""
    subprocess.run([python, "-c", _MAKE_MANY, folder, str(count)], check=True)


def make_sparse_state_dict(path: str, nbytes: int, *, tensors: int = 288) -> None:
    """Write a state dict of `nbytes` whose storages are holes, byte for byte as torch lays it out, without torch."""
    numel = max(1, nbytes // tensors // 4)
    pickle = _pickle(tensors, numel)
    members: list[tuple[bytes, int, int]] = []  # name, offset of its header, bytes
    with open(path, "wb") as out:
        _member(out, members, b"archive/data.pkl", pickle)
        _member(out, members, b"archive/version", b"3\n")
        for i in range(tensors):
            _member(out, members, b"archive/data/%d" % i, None, numel * 4)
        _directory(out, members)


def _text(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def _integer(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little")


def _pickle(tensors: int, numel: int) -> bytes:
    out = [b"\x80\x02}("]
    for i in range(tensors):
        identifier = [b"(", _text("storage"), b"ctorch\nFloatStorage\n", _text(str(i)), _text("cpu"), _integer(numel)]
        out += [_text(f"layers.{i // 12}.part{i % 12}.weight"), b"ctorch._utils\n_rebuild_tensor_v2\n("]
        out += [*identifier, b"tQK\0", _integer(numel), b"\x85K\1\x85\x89ccollections\nOrderedDict\n)RtR"]
    return b"".join([*out, b"u."])


def _member(out, members, name: bytes, data: bytes | None, nbytes: int = 0) -> None:
    at = out.tell()
    nbytes = len(data) if data is not None else nbytes
    gap = -(at + 30 + len(name) + 4) % 64  # torch begins storages at multiples of 64
    extra = b"FB" + gap.to_bytes(2, "little") + b"Z" * gap
    out.write(b"PK\3\4" + bytes(14) + nbytes.to_bytes(4, "little") * 2)
    out.write(len(name).to_bytes(2, "little") + len(extra).to_bytes(2, "little") + name + extra)
    if data is None:
        out.seek(nbytes, os.SEEK_CUR)
    else:
        out.write(data)
    members.append((name, at, nbytes))


def _directory(out, members) -> None:
    at = out.tell()
    for name, offset, nbytes in members:
        is_far = offset >= 0xFFFFFFFF
        extra = b"\1\0\x08\0" + offset.to_bytes(8, "little") if is_far else b""
        short = (0xFFFFFFFF if is_far else offset).to_bytes(4, "little")
        sizes = nbytes.to_bytes(4, "little") * 2 + len(name).to_bytes(2, "little") + len(extra).to_bytes(2, "little")
        out.write(b"PK\1\2" + bytes(16) + sizes + bytes(10) + short + name + extra)
    size, end64, count = out.tell() - at, out.tell(), len(members)
    counts = count.to_bytes(8, "little") * 2 + size.to_bytes(8, "little") + at.to_bytes(8, "little")
    out.write(b"PK\6\6" + (44).to_bytes(8, "little") + bytes(12) + counts)
    out.write(b"PK\6\7" + bytes(4) + end64.to_bytes(8, "little") + (1).to_bytes(4, "little"))
    short = count.to_bytes(2, "little") * 2 + size.to_bytes(4, "little") + min(at, 0xFFFFFFFF).to_bytes(4, "little")
    out.write(b"PK\5\6" + bytes(4) + short + bytes(2))
