"""What pickle and torch read of our own freshly written files, the inert machine reads alike."""

from __future__ import annotations

import io
import os
import pickle

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from weightlift.formats import open_source
from weightlift.pickles import read_pickle
from weightlift.sources import Memory
from weightlift.tensors import rebuilders

from .random_values import SCALARS, WAYS, graphs, numpy_values, pickled
from .same_values import Comparison, DifferenceError
from strategies import tensors

CASES = int(os.environ.get("WEIGHTLIFT_CASES", "300"))


class _Quiet:
    """A value whose parts torch may not be able to show."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return "<a value with tensors>"


pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf support:UserWarning")

_many = settings(max_examples=CASES, suppress_health_check=list(HealthCheck), database=None, derandomize=CASES < 1000)


@_many
@given(graphs(st.one_of(SCALARS, numpy_values())), WAYS)
def test_pickles_rebuild_the_same_value(value, way):
    """A random value, pickled in any way, is read as `pickle.loads` reads it: types, order, shared parts, cycles."""
    data = pickled(value, way)
    assume(data is not None)
    try:
        there = pickle.loads(data)
    except TypeError:  # the buffer of an empty array shares its memo with b"": what Python writes, it cannot read
        assume(False)
    Comparison().same(read_pickle(Memory(data), rebuild=rebuilders()).value, there)


@settings(_many, max_examples=max(CASES // 10, 60))
@given(
    graphs(
        st.one_of(tensors(), tensors(), st.integers(-(2**63), 2**63), st.floats(), st.text(max_size=5), st.none(), st.booleans()),
        ("list", "tuple", "dict", "ordered"),
    ).map(_Quiet),
    st.integers(2, 5),
    st.booleans(),
)  # fmt: skip
def test_torch_files_rebuild_the_same_value(value, protocol, new):
    """A random value with tensors, written by torch.save, is read as `torch.load(weights_only=True)` reads it."""
    out = io.BytesIO()
    try:
        torch.save(value.value, out, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
        there = torch.load(io.BytesIO(out.getvalue()), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, AttributeError):  # what torch does not read itself
        assume(False)
    Comparison().same(open_source(Memory(out.getvalue(), "model.pt")).tree, there)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(1, True), (0.0, -0.0), ([1], (1,)), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({1}, {2}), ([[1], [1]], [[1]] * 2)],
)  # fmt: skip
def test_the_comparison_sees_differences(ours, theirs):
    """Other types, signs, orders, items and other sharing are differences."""
    with pytest.raises(DifferenceError):
        Comparison().same(ours, theirs)
