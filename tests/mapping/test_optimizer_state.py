"""The live optimizer: what follows and what starts fresh, its options, and state of another kind."""

from __future__ import annotations

import pytest
import torch

import weightlift as wl
from weightlift.errors import PlanError
from weightlift.mapping.plan import Plan

from trained_optimizers import (
    ALL,
    KINDS,
    Weights,
    gradients,
    same,
    saved,
    take_step,
    trained,
    values_of,
    without_names,
)


def test_fresh_skipped_and_followed(tmp_path):
    """New parameters start fresh, frozen and absent ones are skipped, and each is told with its reason."""
    model, optimizer = trained("adamw", w=(2, 3), gone=(2,), frozen=(2,), away=(2,))
    checkpoint = saved(tmp_path, model, optimizer)
    new = Weights(w=(2, 3), new=(5,), frozen=(2,), away=(2,))
    new.frozen.requires_grad_(False)
    live = torch.optim.AdamW([new.new, new.w, new.frozen], lr=0.5)
    rules = 'gone -> drop "no longer there"\ninit -> new "a new head"\n** -> ** except gone'
    report = Plan.of(rules).apply_optimizer(live, checkpoint, model=new)
    told = {p.name: (p.status, p.note) for p in report.parameters}
    assert told == {
        "w": ("followed", ""),
        "new": ("fresh", "a new head"),
        "frozen": ("skipped", "frozen"),
        "away": ("skipped", "not in the optimizer"),
    }
    assert set(live.state) == {new.w}
    assert live.param_groups[0]["lr"] == 0.01
    assert report.notes[1:] == ("the state of 3 saved parameters is not used: gone, frozen, away",)
    assert str(report).startswith("1 followed, 1 fresh, 2 skipped\n  followed  w  w\n")
    assert report.to_json()["parameters"][1]["note"] == "a new head"
    assert [p.name for p in report.with_status("fresh")] == ["new"]


def test_a_parameter_without_saved_state_is_fresh(tmp_path):
    """A parameter that never had a gradient has no state to take over, which is said."""
    model, optimizer = trained("adamw", w=(2, 3), idle=(2,))
    del optimizer.state[model.idle]
    new = Weights(w=(2, 3), idle=(2,))
    live = KINDS["adamw"](new.parameters())
    report = Plan.of(ALL).apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert report.with_status("fresh")[0].note == "it has no state in the saved optimizer"
    assert set(live.state) == {new.w}


def test_fresh_parameters_of_adagrad_can_step(tmp_path):
    """Adagrad makes its state when it is built; a fresh parameter has that state and can take a step."""
    model, optimizer = trained("adagrad", w=(2,))
    new = Weights(w=(2,), new=(3,))
    live = KINDS["adagrad"](new.parameters())
    Plan.of('w -> w\ninit -> new "new"').apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    take_step(new, live, gradients(new, 9))
    assert live.state[new.new]["step"] == 1


def test_old_state_of_the_live_optimizer_is_replaced(tmp_path):
    """State that the live optimizer has already is replaced as a whole."""
    model, optimizer = trained("adamw", w=(2, 3))
    new, live = trained("adamw", steps=5, w=(2, 3))
    Plan.of(ALL).apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert same(live.state_dict(), optimizer.state_dict())


def test_tied_parameters_follow_once(tmp_path):
    """Tied weights are one parameter on both sides, whichever of their names the optimizer has."""

    def tied():
        model = Weights(embed=(4, 3), other=(3,))
        model.head = model.embed
        return model

    model = tied()
    optimizer = KINDS["adam"](model.parameters())
    take_step(model, optimizer, gradients(model, 0))
    path = tmp_path / "c.pt"
    torch.save({"model": model.state_dict(), "optimizer": without_names(optimizer)}, path)
    new = tied()
    live = KINDS["adam"](new.parameters())
    report = Plan.of("other -> other\n{embed,head} -> {head,embed}").apply_optimizer(live, wl.open(path), model=new)
    assert report.counts == {"followed": 2}
    assert same(live.state_dict(), optimizer.state_dict())


def test_a_tie_onto_a_parameter_of_its_own_is_said(tmp_path):
    """Where the plan ties what the live model has apart, both take the moments, which is said."""
    model, optimizer = trained("adam", embed=(4, 3))
    new = Weights(embed=(4, 3), head=(4, 3))
    live = KINDS["adam"](new.parameters())
    rules = "embed -> embed\nembed => head : tie"
    report = Plan.of(rules).apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert report.parameters[1].note == "tied to 'embed' in the plan, a parameter of its own here"
    assert torch.equal(live.state[new.head]["exp_avg"], optimizer.state[model.embed]["exp_avg"])


def test_one_parameter_of_two_saved_states_is_refused(tmp_path):
    """A tied parameter whose two names have moments of their own in the file is refused: two make none together."""
    model, optimizer = trained("adam", a=(2,), b=(2,))
    checkpoint = saved(tmp_path, model, optimizer)
    both = checkpoint.state_dict()["a"]
    new = Weights(a=(2,))
    new.b = new.a
    live = KINDS["adam"](new.parameters())
    with pytest.raises(PlanError, match="it is also 'b', which has the state of 'b'; expected that of 'a'"):
        Plan.of(ALL).apply_optimizer(live, checkpoint, model=new, weights={"a": both, "b": both})


def test_a_parameter_of_another_model_is_refused(tmp_path):
    """An optimizer that holds what the model does not have is another model's."""
    model, optimizer = trained("adam", a=(2,))
    with pytest.raises(PlanError, match=r"a parameter of \[2\] in group 0 that the model has not"):
        Plan.of(ALL).apply_optimizer(optimizer, saved(tmp_path, model, optimizer), model=Weights(a=(2,)))


def test_a_parameter_without_values_is_refused(tmp_path):
    """A parameter on the meta device has no memory for moments to be laid out like."""
    model, optimizer = trained("adam", a=(2,))
    new = Weights(a=(2,)).to("meta")
    with pytest.raises(PlanError, match="'a': the parameter has no values yet; load the weights first"):
        Plan.of(ALL).apply_optimizer(KINDS["adam"](new.parameters()), saved(tmp_path, model, optimizer), model=new)


# ---- options ----


def test_options_follow_the_parameters(tmp_path):
    """Each live group takes the options of the saved group that its parameters come from, in whatever order."""
    model = Weights(w=(2, 3), b=(2,))
    optimizer = torch.optim.AdamW(
        [{"params": [("w", model.w)], "weight_decay": 0.3}, {"params": [("b", model.b)], "lr": 0.7}], lr=0.2
    )
    take_step(model, optimizer, gradients(model, 0))
    new = Weights(w=(2, 3), b=(2,), n=(2,))
    live = torch.optim.AdamW([{"params": [new.b]}, {"params": [new.w]}, {"params": [new.n], "lr": 9.0}], foreach=False)
    plan = Plan.of('init -> n "new"\n** -> **')
    report = plan.apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert [(g["lr"], g["weight_decay"], g["foreach"]) for g in live.param_groups] == [
        (0.7, 0.01, False),
        (0.2, 0.3, False),
        (9.0, 0.01, False),
    ]
    assert "group 2 of the optimizer keeps its options: nothing in it comes from the saved one" in report.notes


def test_conflicting_options_are_refused(tmp_path):
    """Parameters of groups with other options do not become one group silently; the live options can be kept."""
    model = Weights(w=(2, 3), b=(2,))
    optimizer = torch.optim.AdamW(
        [{"params": [("w", model.w)], "weight_decay": 0.3}, {"params": [("b", model.b)], "weight_decay": 0.0}], lr=0.2
    )
    take_step(model, optimizer, gradients(model, 0))
    checkpoint = saved(tmp_path, model, optimizer)
    new = Weights(w=(2, 3), b=(2,))
    live = torch.optim.AdamW(new.parameters(), lr=0.5)
    before = values_of(live)
    told = r"weight_decay is 0.3, 0.0 \(saved group 0: 'w'; saved group 1: 'b'\); options=\"live\" keeps"
    with pytest.raises(PlanError, match=told):
        Plan.of(ALL).apply_optimizer(live, checkpoint, model=new)
    assert same(values_of(live), before)
    Plan.of(ALL).apply_optimizer(live, checkpoint, model=new, options="live")
    assert live.param_groups[0]["lr"] == 0.5
    assert torch.equal(live.state[new.b]["exp_avg"], optimizer.state[model.b]["exp_avg"])


def test_a_learning_rate_that_is_a_tensor_follows(tmp_path):
    """A learning rate that was saved as a tensor is one again."""
    model = Weights(w=(2, 3))
    optimizer = torch.optim.AdamW(model.named_parameters(), lr=torch.tensor(0.25), foreach=False)
    take_step(model, optimizer, gradients(model, 0))
    new = Weights(w=(2, 3))
    live = torch.optim.AdamW(new.parameters(), lr=torch.tensor(0.5), foreach=False)
    Plan.of(ALL).apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert torch.equal(live.param_groups[0]["lr"], torch.tensor(0.25))


# ---- kinds, and unknown fields ----


@pytest.mark.parametrize(
    ("was", "now", "message"),
    [
        ("adam", "sgd", "with exp_avg, exp_avg_sq, step: not what SGD keeps"),
        ("adam", "adamax", "without exp_inf and with exp_avg_sq: not what Adamax keeps"),
        ("sgd", "adamw", "without exp_avg, exp_avg_sq, step and with momentum_buffer: not what Adam keeps"),
    ],
)
def test_another_kind_of_optimizer_is_refused(tmp_path, was, now, message):
    """State of another kind of optimizer is refused at once, not at the next step."""
    model, optimizer = trained(was, w=(2, 3))
    new = Weights(w=(2, 3))
    live = KINDS[now](new.parameters())
    with pytest.raises(PlanError, match=message):
        Plan.of(ALL).apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)


def test_options_that_need_other_fields_are_refused(tmp_path):
    """A live optimizer that is to keep a maximum which was not saved is refused."""
    model, optimizer = trained("adamw", w=(2, 3))
    new = Weights(w=(2, 3))
    live = KINDS["amsgrad"](new.parameters())
    with pytest.raises(PlanError, match="without max_exp_avg_sq: not what Adam keeps"):
        Plan.of(ALL).apply_optimizer(live, saved(tmp_path, model, optimizer), model=new, options="live")


class Other(torch.optim.Optimizer):
    """Somebody's own optimizer, with fields that nobody knows."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self):
        """Take a step, or at least count it."""
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            state.setdefault("age", 0)
            state.setdefault("slow", torch.zeros_like(parameter)).add_(parameter.grad)
            state.setdefault("blocks", torch.zeros(7))
            state["age"] += 1


def test_unknown_fields_move_with_their_elements(tmp_path):
    """A field that nobody knows follows what only moves elements, which is said; its blocks follow renames."""
    model = Weights(w=(2, 3))
    optimizer = Other(model.parameters())
    take_step(model, optimizer, gradients(model, 0))
    checkpoint = saved(tmp_path, model, optimizer)
    new = Weights(x=(2, 3))
    live = Other(new.parameters())
    report = Plan.of("w -> x").apply_optimizer(live, checkpoint, model=new)
    assert same(dict(live.state[new.x]), dict(optimizer.state[model.w]))
    assert report.parameters[0].note == "slow is not known; it has the parameter's shape and moves with it"
    with pytest.raises(PlanError, match=r"slow cannot follow scale\(2\): it is not known how it scales"):
        Plan.of("w -> x : scale(2)").apply_optimizer(live, checkpoint, model=new)
    turned = Weights(x=(3, 2))
    with pytest.raises(PlanError, match=r"blocks of \[7\] cannot follow t"):
        Plan.of("w -> x : t").apply_optimizer(Other(turned.parameters()), checkpoint, model=turned)


def test_an_error_in_the_optimizer_itself_changes_nothing(tmp_path):
    """Where the optimizer fails while it loads, its state and groups are the very ones it had."""
    model, optimizer = trained("adamw", w=(2, 3))
    new, live = trained("adamw", steps=2, w=(2, 3))
    before, state, groups = values_of(live), live.state, live.param_groups

    def fail(_):
        raise ValueError("no room")

    live.register_load_state_dict_post_hook(fail)
    with pytest.raises(PlanError, match="the optimizer does not take the state: no room"):
        Plan.of(ALL).apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert same(values_of(live), before)
    assert live.state is state
    assert live.param_groups is groups


def test_weights_are_not_touched(tmp_path):
    """The optimizer's state is all that changes: weights, gradients and the file's tree stay as they are."""
    model, optimizer = trained("adamw", w=(2, 3))
    checkpoint = saved(tmp_path, model, optimizer)
    new = Weights(w=(2, 3))
    before = new.w.detach().clone()
    tree = repr(checkpoint.tree)
    Plan.of("w -> w : scale(2)").apply_optimizer(KINDS["adamw"](new.parameters()), checkpoint, model=new)
    assert torch.equal(new.w, before)
    assert repr(checkpoint.tree) == tree
