"""Files whose code lies where one reader looks and another does not: arrays, streams, tars, programs."""

from __future__ import annotations

import gzip
import lzma

from bad_files import COMMAND, NOTHING, PLAIN, Entry, Table, payload, torch_file, zip_of
from builders import BENIGN, FOUR_FLOATS, call, integer, named, pickled
from odd_arrays import (
    PADDING,
    dtype,
    made_with_arguments,
    npy_headed,
    padded,
    record_of_objects,
    tar_block,
    tar_of,
    wrapper,
)

TABLE = Table()
_SEEN = {"weights": NOTHING, "code": 3, "extract": ("NoStateDictError", "no state dict")}
_UNSEEN = _SEEN | {"code": 0, "scan": "dangerous"}  # by reading alone
_OPCODES = b"cposix\nsystem\n(S'" + COMMAND.encode() + b"'\ntR"
_STREAM = pickled(integer(0)) + pickled(b"]")


@TABLE.add(suffix=".npy", error=("UnsupportedError", "an array of '<O'"), scan="dangerous")
def objects_of_little_endian() -> bytes:
    return npy_headed("'<O'", pickled(payload()))


@TABLE.add(suffix=".npz", **_UNSEEN)
def objects_in_a_record_of_an_npz() -> bytes:
    return zip_of([Entry("a.npy", npy_headed("[('a', '<i4'), ('b', '<O')]", pickled(payload())))])


@TABLE.add(suffix=".npz", **_UNSEEN)
def objects_by_an_escape_in_an_npz() -> bytes:
    return zip_of([Entry("a.npy", npy_headed(r"'|\x4f'", pickled(payload())))])


@TABLE.add(suffix=".joblib", **_SEEN)
def elements_that_are_opcodes() -> bytes:
    body = padded(_OPCODES + b"0N.")
    return b"\x80\x03" + wrapper(dtype("f8"), len(body) // 8) + PADDING + body + b"."


@TABLE.add(suffix=".joblib", **_SEEN)
def bytes_that_are_objects_by_their_state() -> bytes:
    body = padded(_OPCODES + b"0N.")
    return b"\x80\x03" + wrapper(record_of_objects(), len(body) // 8, alignment=b"") + body + b"."


@TABLE.add(suffix=".joblib", error=("PickleError", "byte 0x20 is no pickle opcode"))
def a_wrapper_called_with_its_attributes() -> bytes:
    made = made_with_arguments(dtype("f8"))
    head = b"\x80\x03" + wrapper(dtype("f8"), 1, alignment=b"", made=made)
    return head + b"\x20" + b" " * 7 + b"." + b"\xff" * 24 + bytes(8) + _OPCODES + b"."


@TABLE.add(suffix=".joblib", **_SEEN)
def torch_bytes_in_an_array_of_objects() -> bytes:
    evil = _OPCODES + b"."
    load = call(named("torch.storage", "_load_from_bytes"), b"B" + len(evil).to_bytes(4, "little") + evil)
    return b"\x80\x03" + wrapper(dtype("O8"), 1, alignment=b"") + pickled(load) + b"."


@TABLE.add(suffix=".tar", **_UNSEEN)
def a_sparse_member() -> bytes:
    old = tar_block("storages", _STREAM) + tar_block("tensors", _STREAM)
    return old + tar_of(("pickle", pickled(payload())), sparse=True)


@TABLE.add(**_SEEN)
def a_tar_without_a_magic() -> bytes:
    members = (("storages", _STREAM), ("tensors", pickled(integer(0))), ("pickle", pickled(payload())))
    return tar_of(("N.", b"x"), *members, magic=False)


@TABLE.add(weights=PLAIN, scan="dangerous")
def a_tar_without_a_magic_in_a_zip() -> bytes:
    return torch_file(BENIGN, FOUR_FLOATS, Entry("archive/x", tar_of(("a.pkl", pickled(payload())), magic=False)))


@TABLE.add(weights=PLAIN, scan="dangerous")
def a_program_with_spaces_in_its_names() -> bytes:
    code = f"def f(x):\n  torch . # to\n  save (x, '{COMMAND.partition(' ')[2]}')\n".encode()
    return torch_file(BENIGN, FOUR_FLOATS, Entry("archive/code/__torch__.py", code))


@TABLE.add(suffix=".pkl.gz", error=("UnsupportedError", "gzip"), scan="dangerous")
def a_second_stream_of_gzip() -> bytes:
    return gzip.compress(b"\x80\x02") + gzip.compress(_OPCODES + b".")


@TABLE.add(suffix=".pkl.gz", error=("UnsupportedError", "gzip"))
def a_stream_that_breaks_off() -> bytes:
    return gzip.compress(pickled(b"]"))[:-4]


@TABLE.add(weights=PLAIN, scan="dangerous")
def lzma_of_its_own_settings() -> bytes:
    chain = [{"id": lzma.FILTER_LZMA1, "dict_size": 4097, "lc": 0, "lp": 2, "pb": 0}]
    data = lzma.compress(pickled(payload()), format=lzma.FORMAT_ALONE, filters=chain)
    return torch_file(BENIGN, FOUR_FLOATS, Entry("archive/extra", data))
