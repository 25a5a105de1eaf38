"""Models on the meta device: what a plan leaves without values is told of by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from weightlift.actions.load import load
from weightlift.errors import WeightliftError
from weightlift.mapping.plan import Plan


def on_meta(*, tie=False):
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    if tie:
        model[1].weight = model[0].weight
    return model


SOURCE = {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2)}


@pytest.mark.parametrize("assign", [False, True])
def test_what_is_initialised_has_no_values(assign):
    """An excused or initialised parameter that is still on meta afterwards has a note each."""
    plan = Plan.of('** -> **\ninit -> 1.** "new"')
    for report in (
        load(on_meta(), SOURCE, missing=["1.**"], assign=assign),
        plan.apply(on_meta(), SOURCE, assign=assign),
    ):
        told = [note for note in report.notes if "has no values (meta); the model cannot run yet" in note]
        assert [note.partition(" ")[0] for note in told] == ["'1.weight'", "'1.bias'"]


def test_what_has_values_has_no_note():
    """A parameter that is initialised already, or tied to one that is made, is not told of."""
    ready = on_meta()
    ready[1] = nn.Linear(2, 2)
    assert load(ready, SOURCE, missing=["1.**"]).notes == ()
    report = Plan.of('** -> **\ninit -> 1.** "new"').apply(on_meta(tie=True), SOURCE)
    assert [note.partition(" ")[0] for note in report.notes] == ["'1.bias'"]


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("target", [lambda: nn.Linear(2, 2), lambda: nn.Linear(2, 2, device="meta")])
def test_weights_without_values_are_refused(target, assign):
    """A state dict on the meta device has nothing to set down: it is refused by name, and nothing changes."""
    model = target()
    before = model.weight
    given = nn.Linear(2, 2, device="meta").state_dict()
    with pytest.raises(WeightliftError, match=r"'weight': values that are not there \(meta\)"):
        load(model, given, assign=assign)
    assert model.weight is before
