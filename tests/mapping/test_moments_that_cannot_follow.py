"""Moments that cannot go where the weights go are refused, by parameter, operation and rule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.errors import PlanError
from weightlift.mapping.moments import role_of
from weightlift.mapping.plan import Plan

from trained_optimizers import (
    KINDS,
    Weights,
    gradients,
    saved,
    take_step,
    trained,
)


def adafactor(model):
    return torch.optim.Adafactor(model.named_parameters(), lr=0.01)


def test_factored_moments_follow_renames(tmp_path):
    """Adafactor's rows and columns follow a rename and continue bitwise."""
    old = Weights(w=(3, 4), b=(3,))
    optimizer = adafactor(old)
    take_step(old, optimizer, gradients(old, 0))
    checkpoint = saved(tmp_path, old, optimizer)
    new = Weights(weight=(3, 4), bias=(3,))
    live = adafactor(new)
    plan = Plan.of("w -> weight\nb -> bias")
    plan.apply(new, checkpoint.state_dict())
    plan.apply_optimizer(live, checkpoint, model=new)
    grads = gradients(old, 1)
    take_step(old, optimizer, grads)
    take_step(new, live, {"weight": grads["w"], "bias": grads["b"]})
    assert torch.equal(new.weight, old.w)
    assert torch.equal(new.bias, old.b)


@pytest.mark.parametrize(
    ("rules", "shapes", "op"),
    [
        ("w -> w : t", {"w": (4, 3)}, r"row_var of \[3, 1\] cannot follow t"),
        ("w -> w : scale(2)", {"w": (3, 4)}, r"row_var of \[3, 1\] cannot follow scale\(2\)"),
        ("w[0:2] -> w !lossy", {"w": (2, 4)}, r"row_var of \[3, 1\] cannot follow w\[0:2\]"),
    ],
)
def test_factored_moments_follow_nothing_else(tmp_path, rules, shapes, op):
    """Rows and columns have no value for each element; the refusal names the parameter, the operation and the rule."""
    old = Weights(w=(3, 4))
    optimizer = adafactor(old)
    take_step(old, optimizer, gradients(old, 0))
    new = Weights(**shapes)
    with pytest.raises(PlanError, match=f"line 5: 'w': {op}; expected a rename or a copy.*"):
        Plan.of(rules).apply_optimizer(adafactor(new), saved(tmp_path, old, optimizer), model=new)


def test_factors_of_transformers_are_known():
    """Rows and columns of transformers' Adafactor are held against the parameter's shape."""
    row = trained("sgd", steps=0, row=(3,))[0].row
    lazy = wl.StateDict.from_module(nn.ParameterDict({"row": row}))["row"]
    assert role_of("exp_avg_sq_row", lazy, (3, 4)) == "factor"
    with pytest.raises(PlanError, match=r"exp_avg_sq_col is \[3\]; the parameter is \[3, 4\]; expected \[4\]"):
        role_of("exp_avg_sq_col", lazy, (3, 4))


def test_steps_that_differ_are_refused(tmp_path):
    """Where several sources make one target their steps have to be equal; the error names them."""
    model, optimizer = trained("adam", q=(2, 3), k=(2, 3))
    optimizer.state[model.k]["step"] += 2
    new = Weights(qk=(4, 3))
    live = KINDS["adam"](new.parameters())
    with pytest.raises(PlanError, match=r"line 5: 'qk': step differs: 3.0 of 'q', 5.0 of 'k'; expected one number"):
        Plan.of("{q,k} -> qk : cat(0)").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)


def test_a_source_without_state_is_refused(tmp_path):
    """A frozen part of a fused parameter has no moments; the error names it."""
    model, optimizer = trained("adam", q=(2, 3), k=(2, 3))
    del optimizer.state[model.k]
    new = Weights(qk=(4, 3))
    live = KINDS["adam"](new.parameters())
    with pytest.raises(PlanError, match="'qk': the saved optimizer has state for 'q' and none for 'k'"):
        Plan.of("{q,k} -> qk : cat(0)").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)


def test_fields_that_differ_are_refused(tmp_path):
    """Sources of one target have to have the same fields."""
    model, optimizer = trained("adam", q=(2, 3), k=(2, 3))
    del optimizer.state[model.k]["exp_avg_sq"]
    new = Weights(qk=(4, 3))
    live = KINDS["adam"](new.parameters())
    with pytest.raises(PlanError, match="'k' has step, exp_avg; 'q' has step, exp_avg, exp_avg_sq; expected the same"):
        Plan.of("{q,k} -> qk : cat(0)").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)


def test_dtypes_that_differ_are_refused(tmp_path):
    """Moments of different dtypes cannot be joined, even where the weights are cast to one."""
    model, optimizer = trained("adam", q=(2, 3), k=(2, 3))
    optimizer.state[model.k]["exp_avg"] = optimizer.state[model.k]["exp_avg"].half()
    new = Weights(qk=(4, 3))
    live = KINDS["adam"](new.parameters())
    with pytest.raises(PlanError, match=r"'qk': exp_avg cannot follow: .*float16 \[2, 3\] beside float32 \[2, 3\]"):
        Plan.of("{q,k} -> qk : cat(0)").apply_optimizer(live, saved(tmp_path, model, optimizer), model=new)


def test_every_problem_is_told_at_once(tmp_path):
    """All parameters that cannot follow are told in one error, by line."""
    model, optimizer = trained("adam", a=(2, 3), b=(2, 3))
    new = Weights(c=(2, 3), d=(2, 3))
    rules = "a -> c : scale(0)\nb -> d : scale(0)"
    with pytest.raises(PlanError, match=r"(?s)2 problems.*line 5: 'c': exp_avg cannot follow scale\(0\).*line 6: 'd'"):
        Plan.of(rules).apply_optimizer(KINDS["adam"](new.parameters()), saved(tmp_path, model, optimizer), model=new)


def test_resize_is_refused(tmp_path):
    """Interpolated weights have no moments to go on with; the error shows the rule."""
    model, optimizer = trained("adam", pos=(1, 4, 3))
    new = Weights(pos=(1, 16, 3))
    rule = "pos -> pos : resize(grid, to=[4, 4]) !lossy"
    with pytest.raises(PlanError, match=r"line 5: 'pos': exp_avg cannot follow resize\(grid.* \(pos -> pos : resize"):
        Plan.of(rule).apply_optimizer(KINDS["adam"](new.parameters()), saved(tmp_path, model, optimizer), model=new)


def test_padding_what_does_not_start_at_zero_is_refused(tmp_path):
    """Rprop's step sizes begin at the learning rate; padding them with zeros would stop them."""
    model, optimizer = trained("rprop", w=(2,))
    checkpoint = saved(tmp_path, model, optimizer)
    new = Weights(w=(4,))
    live = KINDS["rprop"](new.parameters())
    with pytest.raises(PlanError, match=r"step_size cannot follow pad\(0, 1, 1\): new elements do not start at zero"):
        Plan.of("w -> w : pad(0, 1, 1)").apply_optimizer(live, checkpoint, model=new)
    with pytest.raises(PlanError, match="step_size cannot be made in part: new elements do not start at zero"):
        Plan.of("w -> w[0:2] : rest=init !partial").apply_optimizer(live, checkpoint, model=new)


def test_adagrad_with_an_initial_value_is_not_padded(tmp_path):
    """Adagrad's sums begin at its initial value; where that is not zero they are not padded with zeros."""
    model = Weights(w=(2,))
    optimizer = torch.optim.Adagrad(model.named_parameters(), initial_accumulator_value=0.5)
    take_step(model, optimizer, gradients(model, 0))
    new = Weights(w=(4,))
    with pytest.raises(PlanError, match=r"sum cannot follow pad\(0, 1, 1\)"):
        Plan.of("w -> w : pad(0, 1, 1)").apply_optimizer(
            torch.optim.Adagrad(new.parameters()), saved(tmp_path, model, optimizer), model=new
        )


def test_the_plan_has_to_fit_the_weights(tmp_path):
    """A plan that does not make the model's weights does not move moments either."""
    model, optimizer = trained("adam", a=(2,))
    with pytest.raises(PlanError, match="source is not used: 'a'"):
        Plan.of('init -> ** "new"').apply_optimizer(optimizer, saved(tmp_path, model, optimizer), model=model)
