"""What reading a pickle leaves is carried into JSON: known values as themselves, the rest as inert nodes."""

from __future__ import annotations

import argparse
import collections
import io
import pickle

import numpy as np
import pytest
import torch

import weightlift as wl
from weightlift.codec import Encoder, Record, decode
from weightlift.pickles import Dict, Global, Object

from codec_values import Config, lazily, there_and_back


def _read(value, tmp_path):
    """The inert tree of a value that torch saved."""
    path = tmp_path / "value.pt"
    torch.save(value, path)
    return wl.open(path).tree


def _through(value, tmp_path, **how):
    encoder = Encoder()
    doc = encoder.encode(_read(value, tmp_path), "meta")
    encoder.check()
    return decode(doc, lazily(encoder), **how)


def test_a_pickled_bundle_comes_through(tmp_path):
    """Dicts, tuples, OrderedDicts with attributes, dtypes, sizes and tensors of a pickle are those values again."""
    weights = collections.OrderedDict(weight=torch.arange(3.0))
    weights._metadata = {"": {"version": 1}}
    back = _through({"model": weights, "epoch": 3, "betas": (0.9, 0.999), "dtype": torch.float16, 1: {2}}, tmp_path)
    assert type(back["model"]) is collections.OrderedDict
    assert back["model"]._metadata == {"": {"version": 1}}
    assert back["model"]["weight"].torch().tolist() == [0, 1, 2]
    assert (back["epoch"], back["betas"], back["dtype"], back[1]) == (3, (0.9, 0.999), torch.float16, {2})


def test_pickled_arrays_are_arrays_again(tmp_path):
    """An array of a pickle is an array of its dtype and values."""
    back = _through({"a": np.arange(6, dtype="<i4").reshape(2, 3)}, tmp_path)
    assert back["a"].dtype == np.dtype("<i4")
    assert back["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_pickled_instances_are_records_and_instances_again(tmp_path):
    """A namespace or dataclass of a pickle is a record; with its class handed in, an instance."""
    value = {"args": argparse.Namespace(lr=0.1), "config": Config(1, [2])}
    back = _through(value, tmp_path)
    assert type(back["args"]) is type(back["config"]) is Record
    assert (back["args"].lr, back["config"].layers) == (0.1, [2])
    assert _through(value, tmp_path, types=[argparse.Namespace, Config]) == value


@pytest.mark.parametrize(
    "node",
    [
        Global("pkg.mod", "Class"),
        Object(Global("pkg", "call"), (1, "a"), is_call=True, offset=3),
        Dict("pkg.MyDict", {1: 2}),
    ],
)
def test_unknown_nodes_stay_inert(node):
    """A global, a call and a dict of an unknown class come back as the nodes that they were."""
    back = there_and_back(node)
    assert type(back) is type(node)
    assert str(getattr(back, "fn", back)) == str(getattr(node, "fn", node))
    assert getattr(back, "args", ()) == getattr(node, "args", ())
    assert getattr(back, "class_name", "") == getattr(node, "class_name", "")


def test_every_part_of_a_pickled_object_stays():
    """Arguments, keywords, state, items and pairs of a node come back."""
    node = Object(Global("pkg", "Class"), (1,), is_call=False, offset=0)
    node.kwargs, node.items, node.pairs = {"k": 1}, [2], {3: 4}
    node.build(("state", 5))
    back = there_and_back(node)
    held = (back.args, back.kwargs, back.state, back.items, back.pairs, back.is_call)
    assert held == ((1,), {"k": 1}, ("state", 5), [2], {3: 4}, False)


def test_a_dict_of_another_state_stays_a_node():
    """A Counter or OrderedDict whose state is no attributes is not taken for one."""
    node = Dict("collections.defaultdict", {1: 2})
    node.build({"a": 1})
    back = there_and_back(node)
    assert (type(back), back.class_name, dict(back), back.state) == (Dict, node.class_name, {1: 2}, {"a": 1})


def test_long_bytes_of_a_pickle_are_carried_by_reference(write):
    """Bytes that reading leaves in the file become a tensor of the file's own bytes, and bytes again."""
    raw = bytes(range(256)) * 1000
    stream = io.BytesIO()
    pickle.dump({"raw": raw}, stream, protocol=4)
    tree = wl.open(write(stream.getvalue(), "value.pkl")).tree
    encoder = Encoder()
    doc = encoder.encode(tree, "meta")
    assert list(encoder.tensors) == ["meta/raw"]
    assert decode(doc, lazily(encoder)) == {"raw": raw}
