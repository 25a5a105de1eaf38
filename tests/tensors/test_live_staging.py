"""Copies of live tensors in buffers that are used again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import weightlift
from weightlift.state_dict import StateDict
from weightlift.tensors.from_live import LiveTensors
from weightlift.tensors.staging import Staging

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own prototypes


def lazies(**values):
    held = LiveTensors()
    return {name: held.lazy(name, value) for name, value in values.items()}


def test_the_live_tensors_may_change_afterwards():
    """Tensors, parts of sparse ones, arrays and computed values keep what they had when they were staged."""
    array, dense, sparse = np.ones(3), torch.ones(4, 4), torch.eye(3).to_sparse()
    held = dict(StateDict.of({"dense": dense.t(), "array": array, "sparse": sparse}).items())
    held["cast"] = StateDict.of({"dense": dense}).cast("float16")["dense"]
    made = Staging().stage(held)
    array[:] = 7
    dense.fill_(7)
    sparse._values().fill_(7)
    assert made["dense"].numpy().tolist() == np.ones((4, 4)).tolist()
    assert made["dense"].stride == (1, 4)
    assert made["array"].numpy().tolist() == [1, 1, 1]
    assert made["cast"].numpy().max() == 1
    assert made["sparse"].torch().to_dense().tolist() == torch.eye(3).tolist()


def test_ties_and_views_stay():
    """One name's tensor is another's after staging, and views lie where they lay."""
    base = torch.arange(16.0).reshape(4, 4)
    made = Staging().stage(lazies(a=base, b=base, row=base[1], column=base[:, 2]))
    assert made["a"].view == made["b"].view
    assert made["row"].storage is made["a"].storage
    again = StateDict.of(made).to_torch()
    assert again["row"].data_ptr() - again["a"].data_ptr() == 16
    assert again["column"].tolist() == [2, 6, 10, 14]


def test_a_computed_value_of_several_is_one_still():
    """What was one computed value under two names is one after staging."""
    cast = StateDict.of({"x": torch.ones(2)}).cast("float16")["x"]
    made = Staging().stage({"a": cast, "b": cast})
    assert made["a"].view == made["b"].view


def test_buffers_are_used_again():
    """The next call copies into the memory of the last one, and frees what it has no use for."""
    staging = Staging()
    first = staging.stage(lazies(a=torch.zeros(1000), b=torch.zeros(1000), c=torch.zeros(10), d=np.zeros(5)))
    places = {staged.storage.data.flat.data_ptr() for name, staged in first.items() if name != "d"}
    array = memoryview(first["d"].storage.data.view)
    assert staging.nbytes == 8080
    second = staging.stage(lazies(a=torch.ones(1000), c=torch.ones(10), d=np.ones(5)))
    assert {second[name].storage.data.flat.data_ptr() for name in "ac"} < places
    assert array.cast("d").tolist() == [1.0] * 5
    assert staging.nbytes == 4080
    staging.stage(lazies(big=torch.ones(2000)))
    assert staging.nbytes == 8000


def test_released_buffers_live_as_long_as_their_tensors():
    """After `release` nothing is held, and what was staged can still be read."""
    staging = Staging()
    made = staging.stage(lazies(a=torch.full((3,), 2.0)))
    staging.release()
    assert staging.nbytes == 0
    staging.stage(lazies(a=torch.zeros(3)))
    assert made["a"].numpy().tolist() == [2.0] * 3


def test_what_is_not_live_passes_through(tmp_path):
    """Tensors of files, meta tensors, empty ones and plain data are given back as they are."""
    StateDict.of({"x": torch.ones(2)}).save(tmp_path / "x.safetensors")
    of_file = weightlift.open(tmp_path / "x.safetensors").state_dict()["x"]
    given = {"file": of_file, **lazies(meta=torch.ones(2, device="meta"), empty=torch.empty(0)), "text": "a"}
    staging = Staging()
    made = staging.stage(given)
    assert all(made[name] is given[name] for name in given)
    assert staging.nbytes == 0


def test_a_staged_tensor_can_be_staged():
    """Copies are memory like any other."""
    first = Staging().stage(lazies(a=torch.ones(3)))
    assert Staging().stage(first)["a"].numpy().tolist() == [1.0] * 3


def test_many_runs_of_one_storage():
    """Each of many separate views of one storage finds its own bytes."""
    base = torch.arange(4096.0)
    held = lazies(**{str(at): base[at : at + 3] for at in range(0, 4096, 64)})
    staging = Staging()
    made = staging.stage(held)
    base.zero_()
    assert all(made[str(at)].numpy().tolist() == [at, at + 1, at + 2] for at in range(0, 4096, 64))
    assert staging.nbytes == 64 * 12
