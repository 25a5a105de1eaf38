"""Floats for whole numbers: what is behind the point is never cut off without a word."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from weightlift.actions.load import load
from weightlift.mapping.fitting import LoadError
from weightlift.mapping.plan import Plan
from weightlift.mapping.resolve import PlanProblems


def holding(dtype):
    model = nn.Module()
    model.register_buffer("n", torch.zeros(2, dtype=dtype))
    model.register_buffer("same", torch.zeros(2, dtype=dtype))
    return model


@pytest.mark.parametrize("there", [torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("here", [torch.float32, torch.bfloat16])
def test_floats_are_not_cut_off(here, there):
    """A float for an integer or a boolean is a problem of the headers, which !lossy allows."""
    model, source = holding(there), {"n": torch.tensor([1.5, 0], dtype=here), "same": torch.ones(2, dtype=there)}
    with pytest.raises(PlanProblems, match=f"'n' would be .*float.* values cut off to .*{str(there)[6:]}; say !lossy"):
        Plan.of("** -> **").apply(model, source)
    assert not model.same.any()
    Plan.of("n -> n !lossy\nsame -> same").apply(model, source)
    assert model.n.tolist() == [1, 0]


def test_the_lines_of_the_error_settle_it():
    """The lines in the message of load join such names with !lossy, and the others without."""
    model, source = holding(torch.int64), {"n": torch.tensor([1.5, 0]), "same": torch.ones(2, dtype=torch.int64)}
    with pytest.raises(LoadError, match="'n' would be float32 values cut off to int64") as caught:
        load(model, source)
    assert caught.value.suggestions == ("** -> ** except n", "n -> n  !lossy")
    load(model, source, plan=Plan.of("\n".join(caught.value.suggestions)))
    assert model.n.tolist() == [1, 0]


def test_the_lines_of_the_error_settle_ties_of_whole_numbers():
    """Lines that tie names mark it too, and no rename is suggested that would cut values off."""
    model = holding(torch.int64)
    model.register_buffer("tied", model.n)
    source = {"n": torch.tensor([1.5, 0]), "sane": torch.tensor([2.5, 0])}
    with pytest.raises(LoadError, match="cut off") as caught:
        load(model, source)
    assert caught.value.suggestions == (
        "n => tied : tie  !lossy",
        "n -> n  !lossy",
        'sane -> drop "why?"',
        'init -> same "why?"',
    )
    load(model, source, plan=Plan.of("\n".join(caught.value.suggestions)))
    assert model.tied.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("here", "there"), [(torch.int64, torch.int8), (torch.uint8, torch.bool), (torch.bool, torch.float16)], ids=str
)
def test_whole_numbers_are_held_against_the_type(here, there):
    """Whole numbers and booleans pass: those that do not fit are an error of the values."""
    model = holding(there)
    load(model, {name: torch.tensor([1, 0]).to(here) for name in ("n", "same")})
    assert model.n.tolist() == [1, 0]
