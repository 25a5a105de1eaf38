"""Places where a loader finds code and a scan could miss it, and ordinary files that look like them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib

import numpy as np
import pytest

from weightlift.scans import Scanned, scan_source
from weightlift.sources import Memory

from builders import FOUR_FLOATS, call, integer, named, pickled, torch_zip
from hidden import CALL, EVIL, PROTOCOL_0, npy, short_bytes, tarred, zipped
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

OPCODES = PROTOCOL_0[:-1]  # no PROTO and no STOP: what may stand in the middle of a pickle
LOAD = call(named("torch.storage", "_load_from_bytes"), short_bytes(PROTOCOL_0))


def scanned(data: bytes, name: str = "model.bin") -> Scanned:
    return scan_source(Memory(data, name))


def calls(found: Scanned) -> list[str]:
    return [each.call for each in found.evidence if each.severity == "danger"]


def array(body: bytes, kind: bytes = b"", **more: bytes) -> bytes:
    """A joblib file of one array whose elements are these bytes."""
    return b"\x80\x03" + wrapper(kind or dtype("f8"), len(body) // 8, **more)


# ---- arrays of joblib ----


@pytest.mark.parametrize("ending", [b"0N.", b"\xff"], ids=["whole", "broken"])
@pytest.mark.parametrize("alignment", [integer(16), b""], ids=["joblib 1.2", "before"])
def test_elements_that_are_opcodes(ending, alignment):
    """Elements that a plain unpickler would carry out are told as it reads them, beside joblib's reading."""
    body = padded(OPCODES + ending)
    found = scanned(array(body, alignment=alignment) + (PADDING if alignment else b"") + body + b".", "a.joblib")
    assert found.verdict == "dangerous"
    assert calls(found) == [CALL]
    (said,) = [each.message for each in found.evidence if "joblib passes over the array" in each.message]
    assert "a plain unpickler takes what is there for opcodes" in said


def test_elements_of_a_file_for_old_joblib():
    """Before 1.2 joblib knew no padding: what that one takes for opcodes is told as well."""
    body = bytes(8)
    padding = b"\x80" + bytes(7) + padded(OPCODES + b"0N.").ljust(121, b"N")
    found = scanned(array(body) + padding + body + b".", "a.joblib")
    assert found.verdict == "dangerous"
    assert any("joblib before 1.2" in each.message for each in found.evidence)


def test_a_plain_unpickler_that_stops_in_an_array():
    """A pickle behind the STOP that only a plain unpickler sees is found: torch loads five in a row."""
    body = padded(b"." + EVIL)
    found = scanned(array(body) + PADDING + body + b".", "a.joblib")
    assert found.verdict == "dangerous"
    assert calls(found) == [CALL]


def test_elements_that_are_a_pickle_by_the_state_of_their_type():
    """A record with a field of objects is unpickled, though the code of its type says bytes."""
    body = padded(OPCODES + b"0N.")
    assert scanned(array(body, record_of_objects(), alignment=b"") + body + b".", "a.joblib").verdict == "dangerous"


CONTRADICTIONS = {
    "objects by the flags alone": dtype("f8", b"(" + integer(3) + b"U\1<NNN" + integer(8) * 2 + integer(63) + b"t"),
    "another size by the state": dtype("V8", b"(" + integer(3) + b"U\1|NNN" + integer(99) + integer(1) * 2 + b"t"),
    "a list of types": dtype("i4,O"),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_types_that_contradict_themselves(kind):
    """Where an array ends that numpy takes one way and a reader another is not guessed."""
    assert scanned(array(bytes(8), kind) + b"\0" + bytes(8) + b".", "a.joblib").verdict == "unreadable"


WRAPPERS = {
    "called with arguments": lambda kind: wrapper(kind, 1, alignment=b"", made=made_with_arguments(kind)),
    "built twice": lambda kind: wrapper(kind, 1, made=b")\x81q\1") + b"\0" + bytes(8) + b"0h\1}b",
    "with another read": lambda kind: (
        wrapper(kind, 1)[:-2] + b"U\4read" + named("torch.jit._pickle", "restore_type_tag") + b"ub"
    ),
    "handed on": lambda kind: (
        call(named("torch.jit._pickle", "restore_type_tag"), wrapper(kind, 1).partition(b"}")[0], b"N") + b"}b"
    ),
}


@pytest.mark.parametrize("made", WRAPPERS.values(), ids=WRAPPERS)
def test_wrappers_that_joblib_does_not_make(made):
    """What joblib reads after such a wrapper cannot be told from its state."""
    data = b"\x80\x03" + made(dtype("f8")) + b"\x20" + bytes(8) + b"."
    assert scanned(data, "a.joblib").verdict == "unreadable"


def test_loader_in_an_array_of_objects():
    """Bytes that torch unpickles are looked into where they stand in the pickle of an array."""
    found = scanned(array(b"", dtype("O8"), alignment=b"") + pickled(LOAD) + b".", "a.joblib")
    assert found.verdict == "dangerous"
    assert calls(found) == [CALL]


def test_zip_behind_an_array():
    """A joblib file that is a zip to who looks at its end is read in two ways."""
    found = scanned(array(bytes(8)) + b"\1\xff" + bytes(8) + b"." + torch_zip(), "a.joblib")
    assert found.verdict == "unreadable"
    assert any("ends as a zip" in each.message for each in found.evidence)


@pytest.mark.parametrize("first", [46, 78, 93, 130, 140], ids=chr)
def test_ordinary_arrays_of_joblib(first):
    """Chance bytes of elements are no second reading, with padding or without."""
    body = bytes((first,)) + bytes(range(1, 24))
    assert scanned(array(body) + b"\1\xff" + body + b".", "a.joblib").verdict == "clean"
    assert scanned(array(body, alignment=b"") + body + b".", "a.joblib").verdict == "clean"


# ---- arrays of numpy ----

OBJECTS = {
    "little-endian": "'<O'", "native": "'=O'", "with its size": "'<O8'", "one of two": "'i4,O'", "escaped": r"'|\x4f'",
    "in two pieces": "'|' 'O'", "in a record": "[('a', '<i4'), ('b', '<O')]", "several": "('|O', (1,))",
    "by another name": "'object'", "in a record in a record": "[('a', [('b', '|O')], (2,))]",
}  # fmt: skip


@pytest.mark.parametrize("descr", OBJECTS.values(), ids=OBJECTS)
def test_objects_by_every_spelling(descr):
    """An array that is not provably of plain elements is looked into as a pickle, in an .npz and by itself."""
    one = npy_headed(descr, EVIL)
    for data in (one, zipped(("w.npy", npy("<f8", bytes(16))), ("o.npy", one))):
        found = scanned(data, "a.npz")
        assert found.verdict == "dangerous"
        assert CALL in calls(found)
    assert scanned(zipped(("o.npy", npy_headed(descr, b"\xff" * 64))), "a.npz").verdict == "unreadable"


ARRAYS = {
    "texts": np.array(["ab", "c"]),
    "bytes": np.array([b"abcde"]),
    "records": np.zeros(3, [("a", "<i4"), ("b", "<f8", (2, 2)), ("c", [("d", "S3")])]),
    "aligned records": np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "spans": np.array([1], "m8[25s]"),
    "a field called |O": np.zeros(2, [("|O", "<i4"), ("object", "<f4")]),
    "no elements": np.zeros((0, 3), "U4"),
}


@pytest.mark.parametrize("values", ARRAYS.values(), ids=ARRAYS)
def test_ordinary_arrays_of_numpy(values):
    """Texts, dates and records of plain numbers are clean, as numpy writes them."""
    alone, several = io.BytesIO(), io.BytesIO()
    np.save(alone, values)
    np.savez(several, a=values, b=np.zeros(2))
    assert scanned(alone.getvalue(), "a.npy").verdict == "clean"
    assert scanned(several.getvalue(), "a.npz").verdict == "clean"


def test_pickle_behind_an_array():
    """What follows the elements is looked into, and elements that are missing are told."""
    assert scanned(npy_headed("'<U2'", bytes(8)) + EVIL, "a.npy").verdict == "dangerous"
    assert scanned(npy_headed("'<U2'", bytes(7)), "a.npy").verdict == "unreadable"


# ---- tars ----

STREAM = pickled(integer(0)) + pickled(b"]")


def test_sparse_members():
    """Sparse members are put together and looked into, also those that old torch unpickles."""
    data = tar_block("w.pt", torch_zip()) + tar_of(("a.pkl", EVIL), sparse=True)
    assert calls(scanned(data, "a.nemo")) == [CALL]
    old = tar_block("storages", STREAM) + tar_block("tensors", STREAM) + tar_of(("pickle", EVIL), sparse=True)
    assert calls(scanned(old, "a.tar")) == [CALL]
    plain = tar_block("w.pt", torch_zip()) + tar_of(("a.pkl", pickled(b"]")), sparse=True)
    assert scanned(plain, "a.nemo").verdict == "clean"


def test_sparse_member_in_odd_pieces():
    """A sparse member whose pieces overlap, or that is too large to put together, is not passed over."""
    block = bytearray(tar_block("a.pkl", EVIL, sparse=True))
    block[410:434] = b"%011o\0%011o\0" % (0, 4)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    assert scanned(bytes(block) + tar_of(("w.pt", torch_zip())), "a.nemo").verdict == "unreadable"


def test_tars_from_before_posix():
    """A tar without a magic is known by its checksum, as to tarfile; the name of its first member can be a pickle."""
    members = (("storages", STREAM), ("tensors", pickled(integer(0))), ("pickle", EVIL))
    assert calls(scanned(tar_of(*members, magic=False), "old.pt")) == [CALL]
    assert calls(scanned(torch_zip(members={"x.tar": tar_of(*members, magic=False)}))) == [CALL]
    found = scanned(tar_of(("N.", b"x"), *members, magic=False), "old.pt")
    assert calls(found) == [CALL]
    assert any("a tar that begins as a pickle" in each.message for each in found.evidence)
    assert scanned(tar_of(("a.pt", torch_zip()), magic=False), "old.tar").verdict == "clean"


# ---- compressed streams ----

PACK = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zlib": zlib.compress}


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
def test_streams_one_after_another(pack):
    """What inflates from the second stream goes on where the first ends, as Python's readers have it."""
    tar = tarred(("a.pt", torch_zip()), ("b.pkl", EVIL))
    data = pack(tar[:1024]) + pack(tar[1024:])
    assert calls(scanned(data, "a.nemo")) == [CALL]
    assert scanned(pack(pickled(b"]")) + pack(b""), "a.pkl").verdict == "clean"


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
def test_streams_that_break_off(pack):
    """A stream without its end is not taken for a whole one, whatever came out of it."""
    assert scanned(pack(pickled(b"]" + b"N0" * 5000))[:-5], "a.pkl").verdict == "unreadable"
    assert scanned(pack(pickled(b"](")) + pack(bytes(range(256)) * 9)[:-9], "a.pkl").verdict == "unreadable"


def test_what_follows_streams():
    """Bytes that are no stream are passed over by readers; a pickle among them is told."""
    found = scanned(bz2.compress(pickled(b"]")) + EVIL, "a.pkl")
    assert calls(found) == [CALL]


@pytest.mark.parametrize(
    "settings", [{"dict_size": 4097}, {"dict_size": 1 << 16, "lc": 0, "lp": 2, "pb": 0}, {"dict_size": 200 << 20}]
)
def test_lzma_of_any_settings(settings):
    """The oldest form of lzma has no magic, and is known whatever its dictionary and settings are."""
    chain = [{"id": lzma.FILTER_LZMA1, "preset": 0, **settings}]
    data = lzma.compress(EVIL, format=lzma.FORMAT_ALONE, filters=chain)
    data = data[:1] + settings["dict_size"].to_bytes(4, "little") + data[5:]
    assert calls(scanned(data, "a.joblib")) == [CALL]
    assert calls(scanned(torch_zip(members={"extra.bin": data}))) == [CALL]
    benign = lzma.compress(pickled(b"]"), format=lzma.FORMAT_ALONE, filters=chain)
    assert scanned(benign, "a.joblib").verdict == "clean"


def test_zlib_of_any_window():
    """A zlib stream is known whatever the window that it was made with."""
    engine = zlib.compressobj(9, zlib.DEFLATED, 10)
    data = engine.compress(EVIL) + engine.flush()
    assert calls(scanned(torch_zip(members={"extra.bin": data}))) == [CALL]


# ---- programs ----

SAVING = {
    "plain": b"torch.save(x, 'f')", "spaces": b"torch . save (x, 'f')", "comment": b"torch. # here\n save(x, 'f')",
    "line": b"torch.\\\n  save(x, 'f')", "operator": b"ops. aten.save(x, 'f')", "once more": b"torch.autograd.save(x)",
    "after a text": b"y = '#'; torch .save(x)", "renamed": b"f = torch.from_file\nf(x)",
    "after three quotes": b"y = '''a'b\n'''; torch .save(x)",
}  # fmt: skip
OTHER = {
    "torch by another name": (b"t = torch\nt.save(x, 'f')", "unknown"),
    "its operators": (b"t = ops.aten\nt.save(x, 'f')", "unknown"),
    "an attribute": (b'getattr(torch, "save")(x)', "unknown"),
    "of others": (b"ops . mylib.run(x)", "unknown"),
    "in a text": (b"y = 'torch.save(x)'  # torch.save(x)", "clean"),
    "of a class": (b"__torch__.torch.nn.save(x); self.torch.save(x)", "clean"),
    "declared": (b"ops : Tensor", "clean"),
    "too long": (b"torch.x." * 2_200_000, "unreadable"),
}


def program(code: bytes, name: str = "code/__torch__.py") -> bytes:
    text = b"def f(x):\n  " + code + b"\n"
    return torch_zip(members={"constants.pkl": pickled(b")"), "data/0": FOUR_FLOATS, name: text})


@pytest.mark.parametrize("code", SAVING.values(), ids=SAVING)
def test_operators_that_touch_files(code):
    """An operator that writes a file is told however it is spelled."""
    assert scanned(program(code)).verdict == "dangerous"
    assert scanned(program(code, "Code/__torch__.PY")).verdict == "dangerous"


@pytest.mark.parametrize(("code", "verdict"), OTHER.values(), ids=OTHER)
def test_other_names_in_programs(code, verdict):
    """Taking all operators at once is not clean; texts, comments and names of classes are."""
    assert scanned(program(code)).verdict == verdict
