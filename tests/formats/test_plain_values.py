"""Plain Python values, pickled by Python and read by the machine: the same values come back."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightlift.pickles import read_pickle
from weightlift.sources import Memory
from weightlift.tensors import rebuilders

from strategies import plain_values

REBUILD = rebuilders()


def read(data):
    return read_pickle(Memory(data), rebuild=REBUILD).value


def canonical(value):
    """A value that is equal exactly when type and content are, NaN and the sign of zero included."""
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else value.hex()
    if isinstance(value, complex):
        return "complex", canonical(value.real), canonical(value.imag)
    if isinstance(value, list | tuple):
        return type(value).__name__, [canonical(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(repr(canonical(item)) for item in value)
    if isinstance(value, dict):
        return "dict", [(canonical(key), canonical(item)) for key, item in value.items()]
    return type(value).__name__, value


@settings(max_examples=400, deadline=None)
@given(value=plain_values(), protocol=st.integers(0, 5))
def test_any_plain_value_is_what_python_reads(value, protocol):
    """Whatever is pickled in any protocol is read as pickle.loads reads it."""
    data = pickle.dumps(value, protocol)
    assert canonical(read(data)) == canonical(pickle.loads(data))


@pytest.mark.parametrize("protocol", range(6))
def test_what_is_shared_stays_shared(protocol):
    """One list under two keys is one list again, and a list in itself is in itself."""
    inner = [1]
    cycle = [inner]
    cycle.append(cycle)
    made = read(pickle.dumps({"a": inner, "b": inner, "c": cycle}, protocol))
    assert made["a"] is made["b"] is made["c"][0]
    assert made["c"][1] is made["c"]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("size", [255, 256, 65535, 65536, 200_000])
def test_lengths_at_which_the_opcodes_change(size, protocol):
    """Strings, lists and bytes around the sizes of the short and long opcodes come back whole."""
    text, items = "é" + "x" * size, list(range(size // 50))
    assert read(pickle.dumps([text, items], protocol)) == [text, items]
    made = read(pickle.dumps(b"\xff" * size, protocol))
    assert (made if isinstance(made, bytes) else made.source.read_at(0, len(made))) == b"\xff" * size
