"""Checkpoints made by hand, opcode by opcode, so that tests of bad input need no torch."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

FOUR_FLOATS = struct.pack("<4f", 1, 2, 3, 4)
EMPTY_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    """BINUNICODE."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    """LONG1, or LONG4 where it does not fit."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes((len(data),)) + data


def named(module: str, name: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{name}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    """MARK ... TUPLE."""
    return b"(" + b"".join(items) + b"t"


def call(fn: bytes, *args: bytes) -> bytes:
    """REDUCE."""
    return fn + tuple_of(*args) + b"R"


def dict_of(*pairs: tuple[str, bytes]) -> bytes:
    """EMPTY_DICT ... SETITEMS."""
    return b"}(" + b"".join(text(key) + value for key, value in pairs) + b"u"


def storage(key: str = "0", numel: int = 4, kind: str = "FloatStorage") -> bytes:
    """A storage by its persistent id."""
    return tuple_of(text("storage"), named("torch", kind), text(key), text("cpu"), integer(numel)) + b"Q"


def tensor(
    shape: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    offset: int = 0,
    where: bytes | None = None,
) -> bytes:
    """`torch._utils._rebuild_tensor_v2` of a float storage."""
    return call(
        named("torch._utils", "_rebuild_tensor_v2"),
        where or storage(),
        integer(offset),
        tuple_of(*map(integer, shape)),
        tuple_of(*map(integer, stride)),
        b"\x89",
        EMPTY_ORDERED_DICT,
    )


def pickled(value: bytes) -> bytes:
    """A protocol 2 pickle of what the opcodes leave."""
    return b"\x80\x02" + value + b"."


BENIGN = pickled(dict_of(("weight", tensor())))


def torch_zip(pickle: bytes = BENIGN, members: Mapping[str, bytes] | None = None, prefix: str = "archive") -> bytes:
    """What torch.save writes since 1.6."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{prefix}/data.pkl", pickle)
        archive.writestr(f"{prefix}/byteorder", b"little")
        for name, data in (members or {"data/0": FOUR_FLOATS}).items():
            archive.writestr(f"{prefix}/{name}", data)
        archive.writestr(f"{prefix}/version", b"3\n")
    return out.getvalue()


def torch_legacy(
    pickle: bytes = BENIGN, data: bytes = FOUR_FLOATS, numel: int = 4, keys: tuple[str, ...] = ("0",)
) -> bytes:
    """What torch.save wrote from 0.1.9 to 1.5."""
    head = pickled(integer(0x1950A86A20F9469CFC6C)) + pickled(integer(1001))
    head += pickled(dict_of(("protocol_version", integer(1001)), ("little_endian", b"\x88")))
    return head + pickle + pickled(b"](" + b"".join(map(text, keys)) + b"e") + struct.pack("<q", numel) + data


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data
