"""The pickle machine: opcodes to inert values, under limits."""

from __future__ import annotations

import pickle

import pytest

from weightlift.errors import LimitError, PickleError, TruncatedError
from weightlift.limits import Limits
from weightlift.pickles import Blob, Global, Object, read_pickle
from weightlift.pickles.known_globals import verdict_of
from weightlift.sources import Memory

from builders import call, dict_of, integer, named, pickled, text, tuple_of


def read(data: bytes, **more):
    return read_pickle(Memory(data), **more).value


def test_unknown_call_becomes_an_object():
    """A call of anything that the table does not know is kept as data, with its arguments."""
    made = read(pickled(call(named("os", "system"), text("touch x"))))
    assert isinstance(made, Object)
    assert (made.fn, made.args, made.is_call) == (Global("os", "system"), ("touch x",), True)


def test_known_call_becomes_a_value():
    """A call that the table knows is replaced by what its stand-in returns."""
    assert read(pickled(call(named("a", "b"), integer(2))), rebuild={Global("a", "b"): lambda n: n + 1}) == 3


def test_build_gives_the_object_its_state():
    """BUILD after NEWOBJ leaves the attributes on the inert object."""
    made = read(pickled(named("gone", "Net") + b")\x81" + dict_of(("x", integer(1))) + b"b"))
    assert made.attributes == {"x": 1}
    assert not made.is_call


def test_slots_and_dict_are_both_attributes():
    """A state of (dict, slots dict) gives the attributes of both."""
    made = read(
        pickled(named("m", "C") + b")\x81" + tuple_of(dict_of(("a", integer(1))), dict_of(("b", integer(2)))) + b"b")
    )
    assert made.attributes == {"a": 1, "b": 2}


def test_globals_are_listed_with_their_first_offset():
    """Every global that the pickle names is reported once, with where it stands."""
    found = read_pickle(Memory(pickled(b"]" + named("a", "b") + b"a" + named("a", "b") + b"a"))).globals
    assert found == {Global("a", "b"): 3}


def test_long_bytes_stay_in_the_file():
    """A long byte string is not read but remembered by its place."""
    data = b"x" * 100_000
    made = read(pickle.dumps({"k": data}, protocol=4))["k"]
    assert isinstance(made, Blob)
    assert made.source.read_at(0, len(data)) == data


def test_cycles_and_sharing_survive():
    """A list that contains itself does, and a shared value is one value."""
    cyclic: list[object] = []
    cyclic.append(cyclic)
    made = read(pickle.dumps(cyclic))
    assert made[0] is made
    shared: list[object] = []
    first, second = read(pickle.dumps([shared, shared]))
    assert first is second


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"\x80\x02R.", PickleError, "finds too little on the stack"),
        (b"\x80\x02h\x07.", PickleError, "finds too little on the stack or in the memo"),
        (b"\x80\x02}]K\x01s.", PickleError, "cannot be hashed"),
        (b"\x80\x63}.", PickleError, "pickle protocol 99"),
        (b"\x80\x02(K\x01.", PickleError, "STOP inside an open MARK"),
        (b"\x80\x02\xff.", PickleError, "0xff is no pickle opcode"),
        (b"\x80\x02}", TruncatedError, "ends without STOP"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", TruncatedError, "reaches past the end"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f\x01.", LimitError, "an integer of 2147483647 bytes"),
        (b"L" + b"9" * 10_000 + b"L\n.", LimitError, "a line of more than"),
        (b"\x80\x02K\x01}b.", PickleError, "BUILD on a int"),
        (b"\x80\x02K\x01K\x02\x93.", PickleError, "STACK_GLOBAL without two strings"),
        (b"\x80\x05\x97.", PickleError, "lies outside the pickle"),
        (b"\x80\x02K\x01}R.", PickleError, "arguments of a call are of type dict"),
        (b"Ix\n.", PickleError, "no integer"),
        (b"Fx\n.", PickleError, "no number"),
        (b"S'a\n.", PickleError, "without quotes"),
    ],
)
def test_broken_pickle_is_named(data, error, message):
    """A pickle that cannot be carried out raises the class of its fault, with the byte."""
    with pytest.raises(error, match=message) as caught:
        read(data)
    assert "at byte" in str(caught.value)


def test_opcodes_are_counted():
    """A pickle of more opcodes than the budget is refused."""
    with pytest.raises(LimitError, match="more than 10 opcodes"):
        read(pickled(b"N0" * 100 + b"N"), limits=Limits(opcodes=10))


def test_open_marks_are_counted():
    """A pickle of more open marks than the depth is refused."""
    with pytest.raises(LimitError, match="marks are open"):
        read(b"\x80\x02" + b"(" * 5000 + b".")


def test_text_is_charged():
    """Strings of more bytes than the budget are refused before they are read."""
    with pytest.raises(LimitError, match="strings of more than 8 bytes"):
        read(pickled(text("a" * 9)), limits=Limits(text_bytes=8))


def test_windows_do_not_matter():
    """A pickle longer than the window it is read through gives the same value."""
    value = [{"name": "n" * (i % 300), "i": i, "f": i / 7} for i in range(5000)]
    for protocol in range(6):
        rebuilt = read(pickle.dumps(value, protocol=protocol))
        assert rebuilt == value


@pytest.mark.parametrize(
    ("module", "name", "verdict"),
    [
        ("torch._utils", "_rebuild_tensor_v2", "clean"),
        ("models", "Net", "unknown"),
        ("numpy.random._pickle", "__randomstate_ctor", "unknown"),
        ("models", "__import__", "dangerous"),
        ("models", "os.system", "dangerous"),
        ("posix", "system", "dangerous"),
    ],
)
def test_what_a_plain_load_would_import_is_judged(module, name, verdict):
    """The table, attribute chains and names that Python keeps for itself decide; the rest is not known."""
    assert verdict_of(Global(module, name)) == verdict
