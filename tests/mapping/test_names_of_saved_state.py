"""The saved optimizer is found, and its integers are named by what the file says or by order."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.errors import PlanError
from weightlift.mapping.plan import Plan

from trained_optimizers import (
    ALL,
    Weights,
    gradients,
    same,
    saved,
    take_step,
    trained,
    without_names,
)


def test_names_by_order_are_said(tmp_path):
    """Without names in the file, one group is laid along the source's parameters, and the report says so."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(2):
        model(torch.randn(5, 3)).sum().backward()
        optimizer.step()
    path = tmp_path / "c.pt"
    torch.save({"model": model.state_dict(), "optimizer": without_names(optimizer)}, path)
    new = deepcopy(model)
    live = torch.optim.Adam(new.parameters())
    report = Plan.of(ALL).apply_optimizer(live, wl.open(path), model=new)
    assert report.names_from == "order"
    assert report.notes[0] == "parameters are named by the order of the source's, which the file does not say"
    assert same(live.state_dict(), optimizer.state_dict())


def test_roles_of_a_pickled_module_say_what_is_a_parameter(tmp_path):
    """A module in the file says which of its tensors are parameters, whatever its buffers are called."""
    model = nn.Sequential(nn.Linear(3, 4))
    model.register_buffer("mask", torch.ones(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "c.pt"
    torch.save({"model": model, "optimizer": without_names(optimizer)}, path)
    new = deepcopy(model)
    live = torch.optim.Adam(new.parameters())
    report = Plan.of(ALL).apply_optimizer(live, wl.open(path), model=new)
    assert report.counts == {"followed": 2}
    assert same(live.state_dict(), optimizer.state_dict())


def grouped(model, kinds):
    parameters = dict(model.named_parameters())
    return torch.optim.AdamW([{"params": [parameters[n] for n in names], **more} for names, more in kinds], lr=0.01)


def file_of(tmp_path, model, optimizer_state):
    path = tmp_path / "c.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer_state}, path)
    return wl.open(path)


def test_groups_that_fit_in_one_way_are_named(tmp_path):
    """Weights with decay and biases without it can be laid along the parameters in one way only, which is taken."""
    split = [(["a_w", "b_w"], {"weight_decay": 0.1}), (["a_b", "b_b"], {"weight_decay": 0.0})]
    model = Weights(a_w=(2, 3), a_b=(2,), b_w=(2, 3), b_b=(2,))
    optimizer = grouped(model, split)
    take_step(model, optimizer, gradients(model, 0))
    new = Weights(a_w=(2, 3), a_b=(2,), b_w=(2, 3), b_b=(2,))
    live = grouped(new, split)
    report = Plan.of(ALL).apply_optimizer(live, file_of(tmp_path, model, without_names(optimizer)), model=new)
    assert "2 groups fit in one way only" in report.notes[0]
    assert same(live.state_dict(), optimizer.state_dict())


def test_groups_that_fit_in_several_ways_are_refused(tmp_path):
    """Groups of equal shapes could be laid along the parameters in several ways; none is chosen."""
    model = Weights(a=(2, 3), b=(2, 3))
    optimizer = grouped(model, [(["b"], {}), (["a"], {})])
    take_step(model, optimizer, gradients(model, 0))
    checkpoint = file_of(tmp_path, model, without_names(optimizer))
    new = Weights(a=(2, 3), b=(2, 3))
    live = grouped(new, [(["a", "b"], {})])
    with pytest.raises(PlanError, match=r"more than one way to lay the 2 groups .* give names="):
        Plan.of(ALL).apply_optimizer(live, checkpoint, model=new)
    report = Plan.of(ALL).apply_optimizer(live, checkpoint, model=new, names=["b", "a"])
    assert report.names_from == "names"
    assert torch.equal(live.state[new.a]["exp_avg"], optimizer.state[model.a]["exp_avg"])


def test_groups_that_fit_in_no_way_are_refused(tmp_path):
    """Groups whose moments contradict the order of the parameters are refused."""
    model = Weights(a=(2, 3), b=(4,))
    optimizer = grouped(model, [(["b"], {}), (["a"], {})])
    take_step(model, optimizer, gradients(model, 0))
    state = without_names(optimizer)
    state["state"][0]["exp_avg"] = torch.zeros(9)
    with pytest.raises(PlanError, match="no way to lay the 2 groups"):
        Plan.of(ALL).apply_optimizer(optimizer, file_of(tmp_path, model, state), model=model)


REFUSED_NAMES = [
    (["a"], "1 names for 2 saved parameters; expected one for each"),
    (["a", "a"], "'a' names the saved parameters 0 and 1"),
    (["a", "c"], "the saved optimizer's 'c' is not among the source's weights"),
    (["b", "a"], r"saved parameter 0, 'b': exp_avg is \[2, 3\]; the parameter is \[4\]; expected \[4\]"),
]


@pytest.mark.parametrize(("names", "message"), REFUSED_NAMES)
def test_names_that_do_not_fit_are_refused(tmp_path, names, message):
    """Names that are given have to be one for each, be in the source, and fit the shape of the moments."""
    model, optimizer = trained("adam", a=(2, 3), b=(4,))
    checkpoint = file_of(tmp_path, model, without_names(optimizer))
    with pytest.raises(PlanError, match=message):
        Plan.of(ALL).apply_optimizer(optimizer, checkpoint, model=model, names=names)


def test_names_in_the_file_that_are_no_weights_are_refused(tmp_path):
    """Saved names that the state dict does not have (of a wrapped model) are refused; names= sets them aside."""
    model, optimizer = trained("adam", a=(2, 3))
    state = optimizer.state_dict()
    state["param_groups"][0]["param_names"] = ["module.a"]
    checkpoint = file_of(tmp_path, model, state)
    with pytest.raises(PlanError, match=r"'module.a' is not among the source's weights.*give names="):
        Plan.of(ALL).apply_optimizer(optimizer, checkpoint, model=model)
    report = Plan.of(ALL).apply_optimizer(optimizer, checkpoint, model=model, names=["a"])
    assert report.notes[0].endswith("they differ from the names in the file, which are set aside")


def test_param_names_that_lie_are_refused(tmp_path):
    """Saved names in the wrong order are found out by the shapes of the moments."""
    model, optimizer = trained("adam", a=(2, 3), b=(4,))
    state = optimizer.state_dict()
    state["param_groups"][0]["param_names"] = ["b", "a"]
    with pytest.raises(PlanError, match=r"saved parameter 0, 'b': exp_avg is \[2, 3\]"):
        Plan.of(ALL).apply_optimizer(optimizer, file_of(tmp_path, model, state), model=model)


def test_another_number_of_parameters_is_refused(tmp_path):
    """An optimizer of some of the parameters, without names, is refused: which they are is not in the file."""
    model = Weights(a=(2, 3), b=(2, 3))
    optimizer = torch.optim.Adam([model.b])
    checkpoint = file_of(tmp_path, model, optimizer.state_dict())
    with pytest.raises(PlanError, match="has 1 parameters without names; the source has 2"):
        Plan.of(ALL).apply_optimizer(optimizer, checkpoint, model=model)


# ---- what the saved optimizer is ----


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"state": {}}, 'no optimizer state; expected a dict with "state" and "param_groups"'),
        ({"state": {}, "param_groups": 3}, "param_groups is a int; expected a list of groups"),
        ({"state": {}, "param_groups": [{}]}, "group 0 of the saved optimizer has no list of integers"),
        ({"state": {}, "param_groups": [{"params": [0, 0]}]}, r"parameters \[0\] are in two groups"),
        ({"state": {1: {}}, "param_groups": [{"params": [0]}]}, "has state for 1; expected an integer"),
        ({"state": {0: 1}, "param_groups": [{"params": [0]}]}, "the state of parameter 0 is a int"),
        (
            {"state": {}, "param_groups": [{"params": [0], "param_names": []}]},
            "param_names of group 0 do not fit its 1",
        ),
    ],
)
def test_broken_states_are_refused(tmp_path, state, message):
    """A saved optimizer that contradicts itself is refused with what is wrong."""
    model, optimizer = trained("adam", a=(2,))
    weights = saved(tmp_path, model, optimizer).state_dict()
    with pytest.raises(PlanError, match=message):
        Plan.of(ALL).apply_optimizer(optimizer, state, model=model, weights=weights)


def test_which_optimizer_of_a_checkpoint(tmp_path):
    """One optimizer's state is found wherever it is; of several one is chosen by name; none is an error."""
    model, optimizer = trained("adam", a=(2,))
    state = optimizer.state_dict()
    path = tmp_path / "gan.pt"
    torch.save({"model": model.state_dict(), "optimizers": [state, state.copy()]}, path)
    with pytest.raises(PlanError, match=r"2 optimizer states: 'optimizers\[0\]', 'optimizers\[1\]'; .*name="):
        Plan.of(ALL).apply_optimizer(optimizer, wl.open(path), model=model)
    with pytest.raises(PlanError, match=r"no optimizer state 'optimizer'; expected one of: 'optimizers\[0\]'"):
        Plan.of(ALL).apply_optimizer(optimizer, wl.open(path), model=model, name="optimizer")
    report = Plan.of(ALL).apply_optimizer(optimizer, wl.open(path), model=model, name="optimizers[1]")
    assert report.counts == {"followed": 1}
    torch.save({"model": model.state_dict()}, path)
    with pytest.raises(PlanError, match="no optimizer state in the checkpoint"):
        Plan.of(ALL).apply_optimizer(optimizer, wl.open(path), model=model)


def test_a_state_alone_needs_weights(tmp_path):
    """An optimizer's state dict does not say what the plan's names are; without weights it is refused."""
    model, optimizer = trained("adam", a=(2,))
    checkpoint = saved(tmp_path, model, optimizer)
    state = checkpoint.tree["optimizer"]
    with pytest.raises(PlanError, match="an optimizer's state without weights; expected weights="):
        Plan.of(ALL).apply_optimizer(optimizer, state, model=model)
    report = Plan.of(ALL).apply_optimizer(optimizer, state, model=model, weights=checkpoint.state_dict())
    assert report.counts == {"followed": 1}


def test_a_pickled_optimizer_is_refused(tmp_path):
    """A pickled optimizer is keyed by tensors; the refusal says what to save instead."""
    model, optimizer = trained("adam", a=(2,))
    path = tmp_path / "c.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer}, path)
    with pytest.raises(
        PlanError, match=r"a pickled optimizer, keyed by tensors; expected what optimizer.state_dict\(\)"
    ):
        Plan.of(ALL).apply_optimizer(optimizer, wl.open(path), model=model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"options": "both"}, 'options=\'both\'; expected "saved" or "live"'),
        ({"optimizer": 3}, "a int; expected a live"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, given, message):
    """Arguments of the wrong kind are refused before anything is looked at."""
    model, optimizer = trained("adam", a=(2,))
    with pytest.raises(PlanError, match=message):
        Plan.of(ALL).apply_optimizer(source={}, model=model, **{"optimizer": optimizer, **given})
