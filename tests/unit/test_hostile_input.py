"""Small files made to hang, crash or fill the machine end soon, in one named error or a short answer."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import textwrap
import time

import pytest

import weightlift as wl
from weightlift import errors
from weightlift.errors import shown
from weightlift.faces.cli import main
from weightlift.formats import safetensors as format_safetensors
from weightlift.pickles import Object, read_pickle
from weightlift.sources import Memory
from weightlift.tree import walk

from builders import (
    FOUR_FLOATS,
    safetensors,
    tensor,
    text,
    torch_legacy,
    torch_zip,
)

SHARED = b")" + b"2\x86" * 60  # one tuple that spells 2^60 values
DEEP = b")" + b"\x85" * 1_000_000
HUGE = b"\x8b" + struct.pack("<i", 4000) + b"\x7f" * 4000  # more digits than Python prints


def guarded(code: str, *args: str, seconds: float = 30) -> str:
    """Run Python code in a process of its own, in 1 GB and little time; return what it prints."""
    start = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
    ran = subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(code), *args],
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, (ran.returncode, ran.stderr[-2000:])
    return ran.stdout


def outcome(tmp_path, data: bytes, *words: str, name: str = "model.pt", out: str = "", seconds: float = 30) -> str:
    """Run the command line on a file in a guarded process; return its exit code and everything it says."""
    path = tmp_path / name
    path.write_bytes(data)
    code = """
    import io, contextlib
    from weightlift.faces.cli import main
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main(sys.argv[1:])
    print(status, out.getvalue()[:20000])
    """
    return guarded(code, *(words or ("inspect",)), str(path), *([out] if out else []), seconds=seconds)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}" + DEEP + b"Ns.",
        b"\x80\x04\x8f(" + DEEP + b"\x90.",
        b"\x80\x02}" + SHARED + b"Ns.",
        b"\x80\x02}(" + SHARED + b"Nu.",
        b"\x80\x02(" + SHARED + b"Nd.",
        b"\x80\x04\x8f(" + SHARED + b"\x90.",
        b"\x80\x04(" + SHARED + b"\x91.",
        b"\x80\x04}" + b"(" * 200 + b")" + b"\x91" * 200 + b"Ns.",
        b"\x80\x02c__builtin__\nset\n(](" + SHARED + b"etR.",
        b"\x80\x02c__builtin__\nfrozenset\n(](" + SHARED + b"etR.",
        b"\x80\x02ccollections\nOrderedDict\n(](" + SHARED + b"N\x86etR.",
    ],
    ids=["deep-key", "deep-item", "key", "keys", "dict", "set", "frozenset", "nested-frozensets", "set()",
         "frozenset()", "OrderedDict"],
)  # fmt: skip
def test_keys_too_large_to_hash(tmp_path, data):
    """A key or set item that cannot be hashed at a reasonable cost is refused before it is hashed."""
    said = outcome(tmp_path, data)
    assert said.startswith("2 ")
    assert "key" in said


def test_repeated_large_keys(tmp_path):
    """Many keys that are each just small enough to hash are refused together."""
    key = b"(" + b"N" * 9000 + b"tq\0"
    assert "keys and items" in outcome(tmp_path, b"\x80\x02}" + key + b"Ns" + b"h\0Ns" * 200_000 + b".")


def test_keys_of_ordinary_tuples():
    """Keys that are tuples or frozensets of a few values are read as before."""
    data = b"\x80\x04}(K\1K\2\x86K\3(K\4\x91K\5u."
    assert read_pickle(Memory(data)).value == {(1, 2): 3, frozenset({4}): 5}


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + SHARED + b"Q.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + SHARED + b"K\0))\x89NtR.",
        b"\x80\x02" + DEEP + b"Q.",
        b"\x80\x02" + HUGE + b"Q.",
        b"\x80\x02" + b"(X\7\0\0\0storagectorch\nFloatStorage\n" + SHARED + b"X\3\0\0\0cpuK\4tQ.",
        b"\x80\x02" + b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpu" + HUGE + b"tQ.",
        b"\x80\x02c__builtin__\ncomplex\n" + HUGE + b"\x85R.",
    ],
    ids=["persistent-id", "storage", "deep-id", "huge-id", "key-of-storage", "huge-numel", "complex"],
)  # fmt: skip
@pytest.mark.parametrize("zipped", [True, False])
def test_messages_about_monstrous_values(tmp_path, data, zipped):
    """A message tells the beginning of a value, however much the value spells or however huge it is."""
    said = outcome(tmp_path, torch_zip(data) if zipped else data)
    assert "Traceback" not in said
    assert said[0] in "02"
    assert len(said) < 3000


def test_shown():
    """A value is shown as its repr would, cut at the limit, with huge integers as their number of bits."""
    values = [(), (1,), (1, "a"), [1, [2.5]], {"a": (None, b"x")}, {1}, set(), frozenset(), frozenset({True}), "it's"]
    assert [shown(value) for value in values] == [repr(value) for value in values]
    assert shown("x" * 200, 10) == "'xxxxxx..."
    assert shown(1 << 30000) == "<an integer of 30001 bits>"
    assert shown([1 << 30000]) == "[<an integer of 30001 bits>]"
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert len(shown(deep)) == 80
    shared: tuple[object, ...] = ()
    for _ in range(100):
        shared = (shared, shared)
    assert len(shown({"a": shared})) == 80

    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    assert shown([Broken()]) == "[<Broken>]"


def test_messages_have_an_end():
    """Names of thousands of characters are cut in a message, in every part of it."""
    error = errors.SourceError(f"no {'x' * 5000!r} here", expected="y" * 5000, remedy="z" * 5000, where="w" * 5000)
    assert len(str(error)) < 1500
    assert str(errors.SourceError("one " * 100)) == "one " * 100


def test_deep_choice_has_a_short_message(tmp_path):
    """Two state dicts 1,500 levels down are told in a message that can be read."""
    weights = b"}(" + text("w") + tensor() + b"u"
    deep = b"".join(text(f"level{i}").join((b"}", b"")) for i in range(1500))
    pair = b"}(" + text("a") + weights + text("b") + b"}(" + text("v") + tensor(shape=(2,)) + b"uu"
    said = outcome(
        tmp_path, torch_zip(b"\x80\x02" + deep + pair + b"s" * 1500 + b"."), "extract", out=str(tmp_path / "o")
    )
    assert said.startswith("2 ")
    assert len(said) < 5000


@pytest.mark.parametrize("words", [("inspect",), ("inspect", "--json")])
def test_huge_integers_are_told_by_their_bits(tmp_path, words):
    """Integers with more digits than Python prints are told by their bits, as values and as keys."""
    body = b"\x80\x02}(" + text("n") + HUGE + HUGE + b"K\1" + text("d") + b"}" + HUGE + tensor() + b"s"
    body += text("model") + b"}(" + text("w") + tensor() + b"uu."
    said = outcome(tmp_path, torch_zip(body), *words)
    assert said.startswith("0 ")
    assert "bits" in said


@pytest.mark.parametrize("words", [("inspect",), ("inspect", "--json")])
def test_legacy_system_info(tmp_path, words):
    """Huge integers and lists that share their items in a legacy file's system info are told in bounds."""
    lists = b"](" + b"N" * 1000 + b"eq\1"
    for i in range(2, 12):
        lists += b"](" + (b"h" + bytes((i - 1,))) * 1000 + b"eq" + bytes((i,))
    for info in (HUGE, b"\x8b" + struct.pack("<i", 3751) + b"\0" * 3750 + b"\x40", b"(" + lists + b"t"):
        system = b"\x80\x02}(X\4\0\0\0long" + info + b"u."
        plain = torch_legacy()
        magic = len(read_and_rest(plain))
        start, end = magic, read_pickle(Memory(plain), magic).end
        said = outcome(tmp_path, plain[:start] + system + plain[end:], *words)
        assert said.startswith("0 "), said


def read_and_rest(data: bytes) -> bytes:
    """Return the magic number and the protocol version at the beginning of a legacy stream."""
    first = read_pickle(Memory(data)).end
    return data[: read_pickle(Memory(data), first).end]


def test_extra_state_of_shared_tuples(tmp_path):
    """A value that shares its parts so that it would be written without end is refused by its name."""
    body = b"\x80\x02}(" + text("w") + tensor() + text("_extra_state") + b")" + b"2\x86" * 45 + b"u."
    said = outcome(tmp_path, torch_zip(body), "extract", out=str(tmp_path / "o.safetensors"))
    assert "'_extra_state' holds more than 100000 values" in said
    assert not (tmp_path / "o.safetensors").exists()


def test_attributes_of_shared_tuples(tmp_path):
    """An attribute of a composite tensor that shares its parts without end does not hang the writer."""
    from weightlift.writers.values import is_describable

    shared: tuple[object, ...] = ()
    for _ in range(60):
        shared = (shared, shared)
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert not is_describable(shared)
    assert is_describable(deep)


def test_deep_and_wide_values_in_little_memory(tmp_path):
    """Many values at the end of a long path take no memory for a path each."""
    data = b"\x80\x02" + b"]" * 1990 + b"(" + b"K\1" * 300_000 + b"e" + b"a" * 1989 + b"."
    assert outcome(tmp_path, data).startswith(("0", "2"))


def test_walk_keeps_the_order_of_the_file():
    """Values are met parents first, in the order of the file, and shared ones once."""
    shared = [1]
    tree = {"a": [shared, {"b": 2}], "c": shared, "d": (3, {4})}
    made = Object(None, (5,), is_call=True, offset=0)
    tree["e"] = made
    paths = [path for path, _ in walk(tree)]
    assert paths == [
        (), ("a",), ("a", 0), ("a", 0, 0), ("a", 1), ("a", 1, "b"), ("d",), ("d", 0), ("d", 1), ("d", 1, 0),
        ("e",), ("e", "args", 0),
    ]  # fmt: skip


def about(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_name_twice_among_many(tmp_path):
    """The one name that stands twice among 200,000 is found at once."""
    entry = json.dumps(about(shape=(0,), offsets=(0, 0)))
    names = [f'"{i}":{entry}' for i in range(200_000)] + [f'"199999":{entry}']
    began = time.process_time()
    with pytest.raises(errors.ContainerError, match="'199999' stands twice"):
        open_bytes(tmp_path, safetensors(f"{{{','.join(names)}}}".encode(), b""))
    assert time.process_time() - began < 10


def open_bytes(tmp_path, data: bytes, name: str = "model.safetensors"):
    path = tmp_path / name
    path.write_bytes(data)
    return wl.open(path)


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [((1 << 62,) * 300_000, (0, 16)), ((int("9" * 4000),) * 60, (0, 16)), ((4,), (0, int("9" * 4000)))],
    ids=["dimensions", "digits", "offsets"],
)
def test_monstrous_shapes(tmp_path, shape, offsets):
    """A shape with too many dimensions or too large sizes is refused before it is multiplied."""
    began = time.process_time()
    with pytest.raises(errors.WeightliftError) as caught:
        open_bytes(tmp_path, safetensors(json.dumps({"w": about(shape=shape, offsets=offsets)}).encode(), FOUR_FLOATS))
    assert len(str(caught.value)) < 500
    assert time.process_time() - began < 5


BAD_RECORDS = {
    "retyped_float": {"dtypes": {"w": {"dtype": "uint8", "shape": [1e999]}}},
    "retyped_text": {"dtypes": {"w": {"dtype": "float32", "shape": "4"}}},
    "offset_infinite": {"views": {"v": {"of": "w", "offset": float("inf"), "shape": [1], "stride": [1]}}},
    "shape_text": {"views": {"v": {"of": "w", "offset": 0, "shape": "1", "stride": [1]}}},
    "stride_text": {"views": {"v": {"of": "w", "offset": 0, "shape": [1], "stride": "1"}}},
    "view_of_itself": {"views": {"w": {"of": "w", "offset": 0, "shape": [1], "stride": [1]}}},
    "float": {"values": {"v": {"float": "0x1p999999"}}, "places": {"v": 1}},
    "composite_shape": {
        "values": {
            "v": {"composite": "x", "dtype": None, "shape": [float("inf")], "class": "x", "parts": {}, "attributes": {}}
        }
    },
    "replaced": {"values": {"w": {"value": 1}}},
    "place_negative": {"values": {"v": {"value": 1}}, "places": {"v": -1}},
    "place_fraction": {"values": {"v": {"value": 1}}, "places": {"v": 0.5}},
    "place_text": {"values": {"v": {"value": 1}}, "places": {"v": "0"}},
    "place_of_nothing": {"places": {"q": 0}},
    "versions": {"versions": [1]},
}


@pytest.mark.parametrize("record", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_records_that_contradict_the_file(tmp_path, record):
    """A record of ties, views and values that does not fit the file is refused as malformed."""
    metadata = {"weightlift": json.dumps({"version": 1, **record})}
    header = json.dumps({"__metadata__": metadata, "w": about()}).encode()
    with pytest.raises(errors.MalformedError):
        open_bytes(tmp_path, safetensors(header, FOUR_FLOATS))


def test_many_ties(tmp_path):
    """A file with 200,000 recorded ties is opened in time, every name at its place."""
    count = 200_000
    record = {"version": 1, "places": {f"t{i}": i for i in range(count)}, "ties": {f"t{i}": "w" for i in range(count)}}
    metadata = {f"t{i}": "w" for i in range(count)} | {"weightlift": json.dumps(record)}
    header = json.dumps({"__metadata__": metadata, "w": about()}).encode()
    began = time.process_time()
    names = list(open_bytes(tmp_path, safetensors(header, FOUR_FLOATS)).state_dict())
    assert time.process_time() - began < 6
    assert names == [*(f"t{i}" for i in range(count)), "w"]


def test_places_are_kept():
    """Names go to their recorded places among the others."""
    entries = dict.fromkeys("abcxyz")
    assert format_safetensors._in_order(entries, {"x": 0, "z": 5, "y": 2}) == list("xaybcz")
    assert format_safetensors._in_order(entries, {"x": 0, "y": 1, "z": 99}) == list("xyabcz")


def gguf(kind: int, count: int, data: bytes) -> bytes:
    key = b"tokens"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key
    return head + struct.pack("<IIQ", 9, kind, count) + data


def test_gguf_long_arrays(tmp_path):
    """A metadata array of millions of numbers is passed over and told by its length."""
    said = outcome(tmp_path, gguf(0, 15_000_000, bytes(15_000_000)), "inspect", "--json", name="m.gguf", seconds=5)
    assert said.startswith("0 ")
    assert "an array of 15000000 values" in said
    assert outcome(tmp_path, gguf(0, 15_000_000, bytes(9)), name="m.gguf").startswith("2 ")


def test_gguf_short_arrays(tmp_path):
    """Arrays of numbers, strings and arrays are read in full."""
    strings = struct.pack("<Q", 1) + b"a" + struct.pack("<Q", 2) + b"bc"
    for kind, count, data, expected in (
        (4, 3, struct.pack("<3I", 1, 2, 3), [1, 2, 3]),
        (7, 2, b"\0\1", [False, True]),
        (8, 2, strings, ["a", "bc"]),
        (9, 1, struct.pack("<IQ", 0, 2) + b"\5\6", [[5, 6]]),
    ):
        assert open_bytes(tmp_path, gguf(kind, count, data), "m.gguf").details["metadata"] == {"tokens": expected}


@pytest.mark.parametrize(
    "header",
    [
        "{[]: 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0x" + "f" * 6000 + ",)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9," * 300_000 + ")}",
    ],
    ids=["key", "digits", "dimensions"],
)
def test_npy_headers(tmp_path, header):
    """A .npy header that is no plain description is refused."""
    data = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header.encode() + bytes(16)
    with pytest.raises(errors.WeightliftError) as caught:
        open_bytes(tmp_path, data, "a.npy")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("headers", [
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "x"},
    {"GNU.sparse.map": "1,x", "GNU.sparse.size": "5"},
    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"},
], ids=["size", "map", "block"])  # fmt: skip
def test_tar_sparse_headers(tmp_path, headers):
    """A tar whose extended headers are broken is refused as a container."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("storages")
        info.size, info.pax_headers = 4, headers
        archive.addfile(info, io.BytesIO(b"abcd"))
    with pytest.raises(errors.WeightliftError):
        open_bytes(tmp_path, out.getvalue(), "model.tar")


@pytest.mark.parametrize("path", [None, 1.5, [], object()])
def test_no_path(path):
    """What is no path is refused in one sentence."""
    with pytest.raises(errors.SourceError, match="is no path; expected a str or a path"):
        wl.open(path)


def test_nul_in_an_output_name(tmp_path):
    """A name with a NUL in it cannot be written to, and the error says so."""
    state_dict = open_bytes(tmp_path, safetensors(json.dumps({"w": about()}).encode(), FOUR_FLOATS)).state_dict()
    with pytest.raises(errors.WriteError, match="NUL"):
        state_dict.save(f"{tmp_path}/a\0b")
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_missing_shard_of_a_long_name(tmp_path, capsys):
    """A shard whose name has 5,000 characters is missed in a message of a readable length."""
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "x" * 5000 + ".safetensors"}}))
    assert main(["inspect", str(index)]) == 2
    assert len(capsys.readouterr().err) < 2000
