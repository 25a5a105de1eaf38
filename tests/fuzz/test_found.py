"""What fuzzing has found, each attack by its name: refused or read, never anything else."""

from __future__ import annotations

import json
import pickle
import struct

import numpy as np
import pytest

from weightlift.actions.inspect import describe
from weightlift.errors import ContainerError, PickleError, UnsupportedError
from weightlift.formats import open_source
from weightlift.mapping.plan import Plan
from weightlift.mapping.rules import ShownError
from weightlift.pickles import read_pickle
from weightlift.scans.scan import scan_source
from weightlift.sources import Memory
from weightlift.tensors import rebuilders
from weightlift.writers.layout import plan_layout

import builders


def opened(data: bytes):
    """What the bytes hold."""
    return open_source(Memory(data, "model.pt"))


def test_obj_without_a_class():
    """OBJ right after its MARK finds no class, and the message says which opcode finds too little."""
    with pytest.raises(PickleError, match=r"opcode b'o' finds too little on the stack"):
        read_pickle(Memory(b"\x80\x02(o."))


@pytest.mark.parametrize("record", [3, 1.5, True, [1], None])
def test_record_that_is_no_text(record):
    """A metadata value under our own key that is no text is somebody else's: the tensors are read without it."""
    header = {"__metadata__": {"weightlift": record}, "w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    made = opened(builders.safetensors(json.dumps(header).encode(), builders.FOUR_FLOATS))
    assert list(made.state_dict()) == ["w"]


def test_index_whose_metadata_is_a_number(tmp_path):
    """An index may say anything under "metadata": who wrote it is then not known."""
    shard = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    (tmp_path / "one.safetensors").write_bytes(builders.safetensors(json.dumps(shard).encode(), builders.FOUR_FLOATS))
    index = tmp_path / "model.safetensors.index.json"
    for metadata in (1.5, True, "total_size", ["total_size"]):
        index.write_text(json.dumps({"weight_map": {"a": "one.safetensors"}, "metadata": metadata}))
        from weightlift.actions.open import open_checkpoint

        assert describe(open_checkpoint(index), "x").producers == ()


def test_control_characters_in_a_rule():
    """The line of a plan that an error shows has its control characters escaped."""
    with pytest.raises(ShownError) as raised:
        Plan.of("a \x1b[2J b")
    assert "\x1b" not in str(raised.value)
    assert "\\x1b[2J" in str(raised.value)


_ODD = {"key": b"}" + builders.named("m", "C") + b"K\1s", "bytes": b"C\1a", "shared": b")" + b"2\x86" * 60,
        "deep": b"]" * 90 + b"a" * 89, "huge": b"\x8b\xa0\x0f\0\0" + b"\x7f" * 4000}  # fmt: skip


@pytest.mark.parametrize("name", _ODD)
def test_versions_that_json_cannot_say(name):
    """A `_metadata` of anything but plain values is refused by extract before a byte is written, and is told by inspect."""
    values = builders.EMPTY_ORDERED_DICT + builders.text("weight") + builders.tensor() + b"s"
    state = b"}" + builders.text("_metadata") + b"}" + builders.text("") + _ODD[name] + b"ssb"
    made = opened(builders.torch_zip(builders.pickled(values + state)))
    describe(made, "x")
    state_dict = made.state_dict()
    with pytest.raises(UnsupportedError, match="_metadata with"):
        plan_layout(dict(state_dict), state_dict.versions)


def npy(header: str) -> bytes:
    """A `.npy` file of four floats with any header."""
    return b"\x93NUMPY\x02\0" + len(header).to_bytes(4, "little") + header.encode() + builders.FOUR_FLOATS


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4L,), }\n",
        "{'shape':(4,),'descr':u\"<f4\",'fortran_order':False}",
    ],
)
def test_npy_headers_of_any_writer(header):
    """The literal of Python 2, and one with other quotes and no spaces, are read."""
    assert opened(npy(header)).tree["array"].shape == (4,)


@pytest.mark.parametrize(
    "header",
    ["{'descr': '<f4', 'shape': (2+2,)}", "{'descr': f'<f4', 'shape': (4,)}", "{'descr': '<f4', 'descr': '<f8', 'shape': (4,)}",
     "{**{}}", "(" * 3000, "{'shape': " + "-" * 3000 + "4}", "{'a' 'b': 1}", "{'a': 1} x", ""],
)  # fmt: skip
def test_npy_headers_are_not_compiled(header):
    """Only a plain literal is read: no arithmetic, f-string, name twice or nesting gets as far as a compiler."""
    with pytest.raises(ContainerError, match=r"the \.npy header is no Python literal"):
        opened(npy(header))


def test_a_zip64_record_that_breaks_off():
    """A zip64 end record with no room for its fields is nobody's: the scan says so and goes on."""
    whole = builders.torch_zip(builders.BENIGN)
    at = whole.rindex(b"PK\5\6")
    data = whole[:at] + b"PK\6\6" + whole[at:]
    with pytest.raises(ContainerError, match="the zip directory is said to end at byte"):
        opened(data)
    assert scan_source(Memory(data, "model.pt")).verdict == "unreadable"


@pytest.mark.parametrize("bits", [0x7E00, 0xFE00, 0x7C01, 0xFDAB])
def test_a_nan_of_half_precision(bits):
    """A numpy half that is no number keeps its sign and payload as a Python float."""
    half = np.array([bits], np.uint16).view(np.float16)[0]
    found = read_pickle(Memory(pickle.dumps(half)), rebuild=rebuilders()).value
    assert struct.pack(">d", found) == struct.pack(">d", half.item())
