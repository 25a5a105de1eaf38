"""Values come in the element type of the model, and what it cannot hold is an error."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from weightlift.actions.load import load
from weightlift.errors import OverflowingError
from weightlift.mapping.fitting import LoadError
from weightlift.mapping.plan import Plan
from weightlift.state_dict import StateDict

from live_models import Net, assert_equal, both_ways, filled, snapshot


@both_ways
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_values_come_in_the_type_of_the_model(assign, dtype):
    """A model keeps its element type; values are rounded as torch rounds them, and the report says cast."""
    model, source = Net().to(dtype), filled(Net())
    report = load(model, StateDict.from_module(source), assign=assign)
    assert model.embed.weight.dtype is dtype
    assert_equal(model, source.to(dtype))
    narrows = dtype is not torch.float64
    casts = report.with_status("cast")
    assert {line.key for line in casts} >= {"embed.weight", "norm.weight"}
    assert all(("narrows" in line.note) is narrows for line in casts)


def test_overflow_is_an_error():
    """A float that would be infinite in a half model is an error that changes nothing, unless the rule allows it."""
    model = filled(nn.Linear(2, 2).half())
    source = StateDict.of({"weight": torch.tensor([[1.0, 2.0], [3.0, 1e6]]), "bias": torch.ones(2)})
    before = snapshot(model)
    with pytest.raises(OverflowingError, match=r"'weight': 1 values \(up to 1e\+06\) do not fit into float16"):
        load(model, source)
    assert snapshot(model) == before
    Plan.of("** -> ** !overflow").apply(model, source)
    assert model.weight[1, 1].isinf()
    assert model.weight[1, 0] == 3


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (torch.tensor([300, 1]), torch.int8),
        (torch.tensor([-1, 1]), torch.uint8),
        (torch.tensor([70000, 1]), torch.float16),
        (torch.tensor([float("nan"), 1]), torch.int64),
        (torch.tensor([2.0**63, 1]), torch.int64),
        (torch.tensor([1e5, 1], dtype=torch.bfloat16), torch.float16),
    ],
    ids=str,
)
def test_what_a_type_cannot_hold_is_an_error(values, dtype):
    """Integers out of range, and floats that are no integers of the type, are errors and not other numbers."""
    model = nn.Module()
    model.register_buffer("n", torch.zeros(2, dtype=dtype))
    with pytest.raises(OverflowingError, match="do not fit into"):
        Plan.of("n -> n !lossy").apply(model, {"n": values})
    assert model.n.tolist() == [0, 0]


def test_infinities_and_nans_pass():
    """Values that are infinite or no number already are no overflow."""
    model = nn.Module()
    model.register_buffer("n", torch.zeros(3, dtype=torch.float16))
    load(model, {"n": torch.tensor([float("inf"), -float("inf"), float("nan")])})
    assert model.n[:2].tolist() == [float("inf"), -float("inf")]
    assert model.n[2].isnan()


def test_complex_values_are_not_cut():
    """Complex values do not fit into a real parameter."""
    model = nn.Module()
    model.register_buffer("n", torch.zeros(2))
    with pytest.raises(LoadError, match="complex64 as float32"):
        load(model, {"n": torch.zeros(2, dtype=torch.complex64)})
