"""Files of joblib, numpy and tar that are made by hand, so that two readers see two things in them."""

from __future__ import annotations

import struct
import tarfile

from builders import dict_of, integer, named, text, tuple_of

WRAPPER = named("joblib.numpy_pickle", "NumpyArrayWrapper")
_FALSE, _TRUE, _MADE = b"\x89", b"\x88", b")\x81"
PADDING = b")" * 42
"""One byte of padding length and so many bytes, and 42 opcodes that push an empty tuple each."""


def dtype(code: str, state: bytes = b"") -> bytes:
    """A pickled numpy dtype, with the state that BUILD gives it."""
    return named("numpy", "dtype") + tuple_of(text(code), _FALSE, _TRUE) + b"R" + (state + b"b" if state else b"")


def record_of_objects() -> bytes:
    """The dtype of 8 bytes whose only field is an object: only its state says so."""
    field = dict_of(("a", tuple_of(dtype("O8"), integer(0))))
    state = tuple_of(integer(3), text("|"), b"N", tuple_of(text("a")), field, integer(8), integer(1), integer(27))
    return dtype("V8", state)


def wrapper(kind: bytes, numel: int, *, alignment: bytes = integer(16), made: bytes = _MADE) -> bytes:
    """The head of an array as joblib writes it, up to its BUILD; empty `alignment`: as before joblib 1.2."""
    attributes = [
        ("subclass", named("numpy", "ndarray")), ("shape", tuple_of(integer(numel))), ("order", text("C")),
        ("dtype", kind), ("allow_mmap", _FALSE),
    ]  # fmt: skip
    attributes += [("numpy_array_alignment_bytes", alignment)] if alignment else []
    return WRAPPER + made + dict_of(*attributes) + b"b"


def made_with_arguments(kind: bytes) -> bytes:
    """What calls the wrapper's class, whose own default is an alignment."""
    return tuple_of(named("numpy", "ndarray"), tuple_of(integer(1)), text("C"), kind) + b"R"


def padded(opcodes: bytes, size: int = 8) -> bytes:
    """Opcodes as elements of so many bytes, filled up with None."""
    return opcodes + b"N" * (-len(opcodes) % size)


def npy_headed(descr: str, body: bytes, shape: str = "(1,)") -> bytes:
    """A .npy file whose header has the element type as it is spelled here."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode("latin-1")
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + body


def tar_block(name: str, data: bytes, *, magic: bool = True, sparse: bool = False) -> bytes:
    """One member of a tar: as before POSIX, without its magic, or as a sparse file of one piece."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:512])
    if not magic:
        head[257:265] = bytes(8)
    if sparse:
        head[156:157] = b"S"
        head[386:410] = b"%011o\0%011o\0" % (0, len(data))
        head[483:495] = b"%011o\0" % len(data)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data + bytes(-len(data) % 512)


def tar_of(*members: tuple[str, bytes], magic: bool = True, sparse: bool = False) -> bytes:
    """A tar of members that are all of one such kind."""
    return b"".join(tar_block(name, data, magic=magic, sparse=sparse) for name, data in members) + bytes(1024)
