"""A saved optimizer follows the plan that moved the weights; torch itself says what the outcome has to be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.mapping.plan import Plan

from trained_optimizers import (
    ALL,
    KINDS,
    Weights,
    every_kind,
    gradients,
    same,
    saved,
    take_step,
    trained,
    values_of,
)


def continued(tmp_path, kind, rules, old_shapes, new_shapes, hand):
    """Train, map through the rules, step both models, and hold the new one against the old one laid out by hand."""
    old, old_optimizer = trained(kind, **old_shapes)
    checkpoint = saved(tmp_path, old, old_optimizer)
    new = Weights(**new_shapes)
    optimizer = KINDS[kind](new.named_parameters())
    plan = Plan.of(rules)
    plan.apply(new, checkpoint.state_dict())
    report = plan.apply_optimizer(optimizer, checkpoint, model=new)
    for step in (7, 8):
        grads = gradients(old, step)
        take_step(old, old_optimizer, grads)
        take_step(new, optimizer, hand(grads))
    expected = hand(dict(old.named_parameters()))
    for name, parameter in new.named_parameters():
        assert torch.equal(parameter, expected[name]), name
    return report


@every_kind
def test_renames_continue_bitwise(tmp_path, kind):
    """After a rename the new model goes on exactly as the old one would have."""
    report = continued(
        tmp_path,
        kind,
        "old_{t} -> new_{t}",
        {"old_w": (3, 4), "old_b": (3,)},
        {"new_b": (3,), "new_w": (3, 4)},
        lambda d: {"new_w": d["old_w"], "new_b": d["old_b"]},
    )
    assert report.counts == {"followed": 2}
    assert report.names_from == "param_names"


@every_kind
def test_cat_continues_bitwise(tmp_path, kind):
    """Three projections that become one take their moments along, side by side."""
    report = continued(
        tmp_path,
        kind,
        "{q,k,v}_{t} -> qkv_{t} : cat(0)",
        {"q_w": (2, 4), "k_w": (2, 4), "v_w": (2, 4), "v_b": (2,), "q_b": (2,), "k_b": (2,)},
        {"qkv_w": (6, 4), "qkv_b": (6,)},
        lambda d: {f"qkv_{t}": torch.cat([d[f"{x}_{t}"] for x in "qkv"]) for t in "wb"},
    )
    assert report.parameters[0].sources == ("q_w", "k_w", "v_w")


@every_kind
@pytest.mark.parametrize(
    ("rules", "old", "new", "hand"),
    [
        ("qkv -> {q,k,v} : split(0)", (6, 4), {"q": (2, 4), "k": (2, 4), "v": (2, 4)},
         lambda w: dict(zip("qkv", w.chunk(3), strict=True))),
        ("qkv -> w : t", (6, 4), {"w": (4, 6)}, lambda w: {"w": w.t()}),
        ("qkv -> w : permute(2, 0, 1)", (2, 3, 4), {"w": (4, 2, 3)}, lambda w: {"w": w.permute(2, 0, 1)}),
        ("qkv -> w : reshape(3, 8)", (6, 4), {"w": (3, 8)}, lambda w: {"w": w.reshape(3, 8)}),
        ('qkv -> w : rearrange("(h k d) c -> (k h d) c", h=2, k=3)', (12, 4), {"w": (12, 4)},
         lambda w: {"w": w.reshape(2, 3, 2, 4).transpose(0, 1).reshape(12, 4)}),
        ("qkv -> w : slice(0, 1, 3) !lossy", (6, 4), {"w": (2, 4)}, lambda w: {"w": w[1:3]}),
        ("qkv[2:4, 1:] -> w !lossy", (6, 4), {"w": (2, 3)}, lambda w: {"w": w[2:4, 1:]}),
        ("qkv -> w : rows(4, 0, 4) !lossy", (6, 4), {"w": (3, 4)}, lambda w: {"w": w[[4, 0, 4]]}),
        ("qkv -> e{i} : unstack(0)", (2, 3), {"e0": (3,), "e1": (3,)}, lambda w: {"e0": w[0], "e1": w[1]}),
        ("qkv -> {a,b} : copy", (2, 3), {"a": (2, 3), "b": (2, 3)}, lambda w: {"a": w, "b": w}),
    ],
    ids=["split", "t", "permute", "reshape", "rearrange", "slice", "span", "rows", "unstack", "copy"],
)  # fmt: skip
def test_moved_elements_continue_bitwise(tmp_path, kind, rules, old, new, hand):
    """Whatever only moves elements moves their moments in the same way, for every optimizer of torch."""
    continued(tmp_path, kind, rules, {"qkv": old}, new, lambda d: hand(d["qkv"].detach()))


def test_wholes_made_up_of_parts_continue_bitwise(tmp_path):
    """Where several rules make the parts of one parameter, each part's moments come from its own source."""
    report = continued(
        tmp_path,
        "adamw",
        "a -> w[0:2] !partial\nb -> w[2:5] : t !partial",
        {"a": (2, 4), "b": (4, 3)},
        {"w": (5, 4)},
        lambda d: {"w": torch.cat([d["a"], d["b"].t()])},
    )
    assert report.parameters[0].sources == ("a", "b")
    assert report.parameters[0].note == ""


def test_stack_continues_bitwise(tmp_path):
    """Experts that are stacked take their moments along."""
    continued(
        tmp_path,
        "adamw",
        "e{i} -> e : stack(0)",
        {"e1": (2, 3), "e0": (2, 3)},
        {"e": (2, 2, 3)},
        lambda d: {"e": torch.stack([d["e0"], d["e1"]])},
    )


def test_copies_do_not_share_memory(tmp_path):
    """Two parameters that come of one have moments of their own, which steps change apart."""
    model, optimizer = trained("adam", w=(2, 3))
    new = Weights(a=(2, 3), b=(2, 3))
    live = KINDS["adam"](new.parameters())
    Plan.of("w -> {a,b} : copy").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert live.state[new.a]["exp_avg"].data_ptr() != live.state[new.b]["exp_avg"].data_ptr()
    assert live.state[new.a]["step"].data_ptr() != live.state[new.b]["step"].data_ptr()


class Projections(nn.Module):
    """Three projections, apart or fused, transposed where they are fused: the same function either way."""

    def __init__(self, fused):
        super().__init__()
        names = ("qkv",) if fused else ("q", "k", "v")
        for name in names:
            weight = torch.randn(4, 12) if fused else torch.randn(4, 4)
            self.register_parameter(name, nn.Parameter(weight.double()))
        self.fused = fused

    def forward(self, x):
        """Attend over the rows."""
        q, k, v = (x @ self.qkv).chunk(3, 1) if self.fused else (x @ w.t() for w in (self.q, self.k, self.v))
        return (q @ k.t()).softmax(1) @ v


def test_training_goes_on_in_a_model_that_computes_the_same(tmp_path):
    """Gradients of its own let the fused, transposed model learn on as the old one would have."""
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).double()

    def learn(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (model(inputs) - inputs).square().sum().backward()
            optimizer.step()

    old, new = Projections(fused=False), Projections(fused=True)
    optimizer = KINDS["adamw"](old.named_parameters())
    learn(old, optimizer, 4)
    checkpoint = saved(tmp_path, old, optimizer)
    live = KINDS["adamw"](new.named_parameters())
    plan = Plan.of("{q,k,v} -> qkv : cat(0) | t")
    plan.apply(new, checkpoint.state_dict())
    plan.apply_optimizer(live, checkpoint, model=new)
    learn(old, optimizer, 4)
    learn(new, live, 4)
    assert torch.allclose(new(inputs), old(inputs), rtol=1e-10)
    fresh = Projections(fused=True)
    plan.apply(fresh, checkpoint.state_dict())
    learn(fresh, KINDS["adamw"](fresh.named_parameters()), 4)
    assert not torch.allclose(fresh(inputs), old(inputs), rtol=1e-3)


# ---- arithmetic ----


@every_kind
@pytest.mark.parametrize("by", [2, -4, 0.5])
def test_scaled_moments_are_those_of_the_scaled_gradients(tmp_path, kind, by):
    """After scale(s), moments are what the optimizer would hold had it seen gradients of 1/s all along."""
    model, optimizer = trained(kind, steps=1, w=(3, 4))
    new = Weights(w=(3, 4))
    live = KINDS[kind](new.named_parameters())
    Plan.of(f"w -> w : scale({by})").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    other = Weights(w=(3, 4))
    with torch.no_grad():
        other.w.mul_(by)
    # weight decay is of the weight and Rprop's, ASGD's and Adadelta's memory of its steps; all in units of the weight
    truth = KINDS[kind](other.named_parameters())
    if kind == "rprop":
        truth.param_groups[0]["lr"] *= abs(by)
    if kind == "sgd":
        truth.param_groups[0]["weight_decay"] /= by * by
    if kind == "asgd":
        truth.param_groups[0]["lr"] *= by * by
        truth.param_groups[0]["lambd"] /= by * by
    if kind == "adadelta":
        truth.param_groups[0]["eps"] = 0.0
    take_step(other, truth, {"w": gradients(model, 0)["w"] / by})
    ours, theirs = live.state[new.w], truth.state[other.w]
    assert ours.keys() == theirs.keys()
    for field in ours:
        if (kind, field) not in {("adadelta", "acc_delta"), ("asgd", "eta")}:
            assert torch.allclose(ours[field], theirs[field], rtol=1e-5, atol=0), field


def test_adadelta_memory_of_steps_scales_with_the_square(tmp_path):
    """Adadelta's average of squared updates is in squared weights: scale(3) makes it nine times as large."""
    model, optimizer = trained("adadelta", w=(3, 4))
    new = Weights(w=(3, 4))
    live = KINDS["adadelta"](new.parameters())
    Plan.of("w -> w : scale(3)").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert torch.equal(live.state[new.w]["acc_delta"], optimizer.state[model.w]["acc_delta"] * 9)


def test_add_leaves_moments(tmp_path):
    """What is added to a weight does not show in its gradient, nor in the moments."""
    model, optimizer = trained("adamw", w=(3,))
    new = Weights(w=(3,))
    live = KINDS["adamw"](new.parameters())
    Plan.of("w -> w : add(1)").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert same(dict(live.state[new.w]), dict(optimizer.state[model.w]))


def test_add_moves_the_average_of_weights(tmp_path):
    """ASGD's average of the weights takes what the weights take."""
    model, optimizer = trained("asgd", w=(3,))
    new = Weights(w=(3,))
    live = KINDS["asgd"](new.parameters())
    Plan.of("w -> w : scale(2) | add(1)").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    assert torch.equal(live.state[new.w]["ax"], optimizer.state[model.w]["ax"] * 2 + 1)


def test_cast_leaves_moments_as_precise_as_the_new_parameter(tmp_path):
    """A cast on the way does not touch moments: they keep their dtype, or take the live parameter's, which is said."""
    model, optimizer = trained("adamw", w=(3, 4))
    checkpoint = saved(tmp_path, model, optimizer)
    plan = Plan.of("w -> w : cast(bfloat16) !lossy")
    new = Weights(w=(3, 4))
    live = KINDS["adamw"](new.parameters())
    report = plan.apply_optimizer(live, checkpoint, model=new)
    assert torch.equal(live.state[new.w]["exp_avg"], optimizer.state[model.w]["exp_avg"])
    assert report.parameters[0].note == ""
    half = Weights(w=(3, 4)).bfloat16()
    live = KINDS["adamw"](half.parameters())
    report = plan.apply_optimizer(live, checkpoint, model=half)
    assert torch.equal(live.state[half.w]["exp_avg"], optimizer.state[model.w]["exp_avg"].bfloat16())
    assert report.parameters[0].note == "exp_avg float32 -> bfloat16; exp_avg_sq float32 -> bfloat16"


def test_moments_that_overflow_are_refused(tmp_path):
    """A moment that would become infinite in the parameter's dtype is an error, and the optimizer stays as it is."""
    model = Weights(w=(2,))
    optimizer = KINDS["adam"](model.parameters())
    take_step(model, optimizer, {"w": torch.full((2,), 1e5)})
    half = Weights(w=(2,)).half()
    live = KINDS["adam"](half.parameters())
    before = values_of(live)
    with pytest.raises(wl.WeightliftError, match=r"'w': exp_avg_sq: 2 .* float16"):
        Plan.of(ALL).apply_optimizer(live, saved(tmp_path, model, optimizer), model=half)
    assert same(values_of(live), before)


@pytest.mark.parametrize("rules", ["w -> w : pad(0, 1, 2)", "w -> w[1:4] : rest=init !partial"])
def test_new_rows_have_zero_moments(tmp_path, rules):
    """Rows that are padded or left to be initialised start with zero moments, which is said."""
    rows = 6 if "pad" in rules else 5
    model, optimizer = trained("adamw", w=(3, 4))
    new = Weights(w=(rows, 4))
    live = KINDS["adamw"](new.parameters())
    report = Plan.of(rules).apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)
    for field in ("exp_avg", "exp_avg_sq"):
        expected = torch.zeros(rows, 4)
        expected[1:4] = optimizer.state[model.w][field]
        assert torch.equal(live.state[new.w][field], expected)
    assert report.parameters[0].note == "new elements have zero moments, and the step of the others"
