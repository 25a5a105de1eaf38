"""Live modules as targets: whatever kind they are, all of a plan is set down in them, or nothing is."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from weightlift.actions.load import load
from weightlift.errors import PlanError, WeightliftError
from weightlift.mapping.plan import Plan
from weightlift.state_dict import StateDict

from live_models import Net, assert_equal, both_ways, filled, seeded


@both_ways
def test_frozen_parameters_stay_frozen(assign):
    """A frozen parameter gets its values and stays frozen; the others stay trainable."""
    model, source = Net(), filled(Net())
    model.embed.weight.requires_grad_(False)
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    assert not model.embed.weight.requires_grad
    assert model.norm.weight.requires_grad


@both_ways
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_mode_of_a_module_stays(assign, mode):
    """Loading leaves train and eval mode as they are."""
    model, source = getattr(Net(), mode)(), filled(Net())
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    assert {child.training for child in model.modules()} == {mode == "train"}


@both_ways
def test_memory_order_is_kept(assign):
    """Transposed and channels-last parameters keep their memory order, whatever order the source has."""
    model, source = (nn.Sequential(nn.Conv2d(2, 3, 2), nn.Linear(3, 4)) for _ in range(2))
    filled(source)
    model.to(memory_format=torch.channels_last)
    model[1].weight = nn.Parameter(torch.zeros(3, 4).T)
    strides = {key: value.stride() for key, value in model.state_dict().items()}
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    assert {key: value.stride() for key, value in model.state_dict().items()} == strides


def test_assigned_parameters_are_rows_first_after_a_transpose():
    """With assign, a transposed source gives a parameter in the order of the one it replaces, in memory of its own."""
    model = nn.Linear(3, 4, bias=False)
    weight = torch.rand(5, 4)
    Plan.of("w[0:3] -> weight : t !partial").apply(model, StateDict.of({"w": weight}), assign=True)
    assert torch.equal(model.weight, weight[:3].T)
    assert model.weight.is_contiguous()
    assert model.weight.untyped_storage().nbytes() == 3 * 4 * 4


def test_meta_models_are_materialised():
    """A model on the meta device gets memory with its values, ties and gradient flags kept."""
    with torch.device("meta"):
        model = Net()
    model.norm.weight.requires_grad_(False)
    source = filled(Net())
    report = load(model, StateDict.from_module(source))
    assert_equal(model, source)
    assert model.head.weight is model.embed.weight
    assert not model.norm.weight.requires_grad
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}
    assert any("'scratch' is in no state dict and has no values" in note for note in report.notes)


def test_a_meta_model_is_made_of_parts():
    """Parts that are all of a tensor materialise it; a part alone cannot."""
    with torch.device("meta"):
        model = nn.Linear(2, 4, bias=False)
    source = StateDict.of({"a": torch.rand(3, 2), "b": torch.rand(1, 2)})
    with pytest.raises(PlanError, match="no values yet"):
        Plan.of("a -> weight[0:3] : rest=init !partial").apply(model, source.select("a"))
    assert model.weight.device.type == "meta"
    Plan.of("a -> weight[0:3] !partial\nb -> weight[3:4] !partial").apply(model, source)
    assert torch.equal(model.weight, torch.cat(list(source.to_torch().values())))


@both_ways
def test_lazy_modules_take_the_shapes_of_the_file(assign):
    """Parameters of lazy modules take shape and values from the source, and the module runs."""
    model = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())
    source = filled(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    x = torch.rand(2, 3)
    assert torch.equal(model.eval()(x), source.eval()(x))


def test_a_live_lazy_module_is_no_source():
    """A lazy module that has not run yet has no weights to give."""
    with pytest.raises(WeightliftError, match="'weight' has no shape yet; run the lazy module once"):
        StateDict.from_module(nn.LazyLinear(4))


PARAMETRISED = {
    "weight_norm": nn.utils.parametrizations.weight_norm,
    "spectral_norm": nn.utils.parametrizations.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
    "old weight_norm": nn.utils.weight_norm,
    "old spectral_norm": nn.utils.spectral_norm,
}


@both_ways
@pytest.mark.parametrize("kind", PARAMETRISED)
def test_parametrised_modules(kind, assign):
    """Parametrised and weight-normed modules get what their weight is computed from, and compute the same."""
    model = PARAMETRISED[kind](seeded(lambda: nn.Linear(3, 4), 1))
    source = PARAMETRISED[kind](seeded(lambda: nn.Linear(3, 4), 2))
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    x = torch.rand(2, 3)
    assert torch.equal(model.eval()(x), source.eval()(x))


@both_ways
def test_buffers_that_are_not_saved_are_not_touched(assign):
    """Non-persistent buffers and buffers without elements stay what they are."""
    model, source = Net(), filled(Net())
    source.scratch.fill_(7)
    kept = model.scratch
    load(model, StateDict.from_module(source), assign=assign)
    assert model.scratch is kept
    assert kept.tolist() == [0, 1, 2, 3]
    assert model.empty.shape == (0,)


@both_ways
def test_ties_are_kept(assign):
    """Names that are one parameter are one parameter afterwards, and the optimizer of before holds it in place."""
    model, source = Net(), filled(Net())
    before = model.embed.weight
    load(model, StateDict.from_module(source), assign=assign)
    assert model.head.weight is model.embed.weight
    assert (model.embed.weight is before) is not assign
    assert torch.equal(model.head.weight, source.embed.weight)


@both_ways
def test_a_tie_needs_only_one_of_its_names(assign):
    """Where the target's names are one tensor, a file with one of them is enough; the report says so."""
    model, source = Net(), filled(Net())
    report = load(model, StateDict.from_module(source).drop("head.weight"), assign=assign)
    assert model.head.weight is model.embed.weight
    assert torch.equal(model.head.weight, source.embed.weight)
    assert any("'head.weight' is the same tensor" in note for note in report.notes)
    assert [line.status for line in report.lines if line.key == "head.weight"] == ["tied"]


def test_a_tied_model_of_another_type():
    """A tied half model loads a tied file of floats: casting does not part what is tied."""
    model, source = Net().half(), filled(Net())
    load(model, StateDict.from_module(source))
    assert torch.equal(model.embed.weight, source.embed.weight.half())


@both_ways
def test_copies_do_not_share_memory(assign):
    """One source copied to two parameters that are not tied gives each memory of its own."""
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    Plan.of("w -> {a,b}.weight : copy").apply(model, StateDict.of({"w": torch.rand(2, 2)}), assign=assign)
    assert torch.equal(model["a"].weight, model["b"].weight)
    assert model["a"].weight.data_ptr() != model["b"].weight.data_ptr()


def test_source_and_model_do_not_share_memory():
    """Assigned parameters are not views of a live source."""
    source, model = filled(Net()), Net()
    load(model, StateDict.from_module(source), assign=True)
    before = model.embed.weight.clone()
    with torch.no_grad():
        source.embed.weight.zero_()
    assert torch.equal(model.embed.weight, before)


def test_a_live_optimizer_is_told_about():
    """With assign, the report names live optimizers that still hold the parameters which were replaced."""
    model, source = Net(), StateDict.from_module(filled(Net()))
    optimizer = torch.optim.AdamW(model.parameters())
    assert not any("AdamW" in note for note in load(model, source).notes)
    report = load(model, source, assign=True)
    assert [note for note in report.notes if "a live AdamW still holds 3 of the parameters" in note]
    del optimizer
    gc.collect()
    assert not any("AdamW" in note for note in load(model, source, assign=True).notes)


def test_expanded_buffers_are_refused_in_place():
    """A buffer whose elements share memory is refused in place, whole, and can be assigned."""
    model = nn.Module()
    model.register_buffer("a", torch.zeros(2))
    model.register_buffer("b", torch.zeros(1).expand(3))
    source = StateDict.of({"a": torch.ones(2), "b": torch.ones(3)})
    with pytest.raises(PlanError, match="'b': an expanded tensor"):
        load(model, source)
    assert model.a.tolist() == [0, 0]
    load(model, source, assign=True)
    assert model.b.tolist() == [1, 1, 1]
