"""Ordinary torch.save output that a weights_only load or other readers refuse: all of it opens."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime as dt
import enum
import pathlib
import pickle
import uuid
from typing import NamedTuple

import numpy as np
import pytest
import torch

import weightlift
from weightlift.pickles import Global, Object

from strategies import element_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Stage(enum.Enum):
    """An enum of the training script."""

    WARM = "warm"


@dataclasses.dataclass
class Config:
    """A dataclass of the training script."""

    width: int = 3
    names: list[str] = dataclasses.field(default_factory=lambda: ["a"])


class Point(NamedTuple):
    """A named tuple of the training script."""

    x: int
    y: int


WEIGHT = torch.arange(6, dtype=torch.float32).reshape(2, 3)

BESIDE = {
    "numpy scalars": [np.float64(0.5), np.int32(3), np.bool_(1), np.float32(1.5), np.complex128(1j)],
    "numpy arrays": np.arange(4),
    "numpy objects": np.array([{"a": 1}], dtype=object),
    "numpy strings and dates": [np.str_("x"), np.datetime64("2020-01-01"), np.dtype("f4")],
    "a numpy generator": np.random.default_rng(0),
    "a Namespace": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/x")),
    "paths": [pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("c:/x"), pathlib.Path("x")],
    "dates": [dt.datetime(2024, 1, 2, tzinfo=dt.UTC), dt.date(2024, 1, 2), dt.timedelta(3)],
    "enums": {Stage.WARM: Stage.WARM},
    "a dataclass": Config(),
    "a named tuple": Point(1, 2),
    "collections": [
        collections.defaultdict(list, a=[1]),
        collections.Counter("aab"),
        collections.deque([1, 2], maxlen=5),
        collections.OrderedDict(x=1),
    ],
    "sets": [{1, 2}, frozenset({3}), set()],
    "names of torch": [torch.device("cuda:1"), torch.float16, torch.Size([2, 3]), torch.strided],
    "functions and classes": [print, dict, Config, torch.nn.functional.relu],
    "numbers": [10**400, -0.0, float("nan"), 1 + 2j, True, None, range(3), Ellipsis],
    "a uuid": uuid.UUID(int=7),
    "bytes": [b"\xff\x00", bytearray(b"abc"), b"x" * 100_000],
    "lone surrogates": "a\udcff",
    "a generator state": torch.Generator().get_state(),
    "a storage": torch.zeros(3).untyped_storage(),
}


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("beside", BESIDE)
def test_whatever_stands_beside_the_weights(beside, protocol, tmp_path):
    """The weights are found and read, whatever else the training script put into the file."""
    torch.save({"model": {"w": WEIGHT}, "epoch": BESIDE[beside]}, tmp_path / "x.pt", pickle_protocol=protocol)
    checkpoint = weightlift.open(tmp_path / "x.pt")
    assert checkpoint.state_dict("model")["w"].tobytes() == element_bytes(WEIGHT)
    weightlift.extract(tmp_path / "x.pt", tmp_path / "out", name="model")
    assert weightlift.open(tmp_path / "out").state_dict()["w"].tobytes() == element_bytes(WEIGHT)


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_values_that_are_told_as_what_they_are(protocol, tmp_path):
    """Plain values come out of the tree as Python values; classes of others as inert objects."""
    held = {
        "numbers": [np.float64(0.5), np.int32(3), np.bool_(1)],
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "counts": collections.Counter("aab"),
        "default": collections.defaultdict(list, a=[1]),
        "namespace": argparse.Namespace(lr=0.1),
        "config": Config(),
        "set": {1, 2},
    }
    torch.save(held, tmp_path / "x.pt", pickle_protocol=protocol)
    tree = weightlift.open(tmp_path / "x.pt").tree
    assert tree["numbers"] == [0.5, 3, True]
    assert tree["size"] == (2, 3)
    assert tree["dtype"] == Global("torch", "float16")
    assert (tree["counts"], tree["default"], tree["set"]) == ({"a": 2, "b": 1}, {"a": [1]}, {1, 2})
    assert isinstance(tree["namespace"], Object)
    assert tree["namespace"].attributes == {"lr": 0.1}
    assert tree["config"].class_name.endswith(".Config")
    assert tree["config"].attributes == {"width": 3, "names": ["a"]}


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_metadata_of_a_state_dict_is_kept(protocol, tmp_path):
    """`_metadata`, by which torch knows the version of each module, survives reading and extraction."""
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    torch.save(model.state_dict(), tmp_path / "x.pt", pickle_protocol=protocol)
    weightlift.extract(tmp_path / "x.pt", tmp_path / "x.safetensors")
    for name in ("x.pt", "x.safetensors"):
        made = weightlift.open(tmp_path / name).state_dict().to_torch()
        assert dict(made._metadata) == dict(model.state_dict()._metadata)
        assert torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)).load_state_dict(made)


def test_a_module_under_two_names(tmp_path):
    """One module object under two keys of a checkpoint is found under a name, with all its weights."""
    model = torch.nn.Linear(3, 2)
    torch.save({"model": model, "best": model, "epoch": 3}, tmp_path / "x.pt")
    state_dict = weightlift.open(tmp_path / "x.pt").state_dict()
    assert {key: value.tobytes() for key, value in state_dict.items()} == {
        key: element_bytes(value) for key, value in model.state_dict().items()
    }


def test_an_optimizer_beside_the_model(tmp_path):
    """Of a training checkpoint the model is plainly the weights, whatever the optimizer holds."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save({"optimizer": optimizer.state_dict(), "model": model.state_dict(), "rng": None}, tmp_path / "x.pt")
    assert list(weightlift.open(tmp_path / "x.pt").state_dict()) == ["weight", "bias"]


def test_no_code_of_the_file_runs(tmp_path):
    """An object whose unpickling calls a function is read without calling it, and its weights are there."""

    class Caller:
        def __reduce__(self):
            return pytest.fail, ("a call of the file was carried out",)

    torch.save({"state_dict": {"w": WEIGHT}, "hook": Caller()}, tmp_path / "x.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "x.pt", weights_only=True)
    checkpoint = weightlift.open(tmp_path / "x.pt")
    assert checkpoint.state_dict()["w"].tobytes() == element_bytes(WEIGHT)
    assert checkpoint.tree["hook"].is_call
