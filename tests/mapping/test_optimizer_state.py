"""A saved optimizer follows the plan that moved the weights; torch itself says what the outcome has to be."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.errors import PlanError
from weightlift.mapping.moments import role_of
from weightlift.mapping.plan import Plan

ALL = "** -> **"
KINDS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "asgd": lambda p: torch.optim.ASGD(p, lr=0.01),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


class Weights(nn.Module):
    """Parameters by name (dots as submodules), and nothing to compute."""

    def __init__(self, **shapes):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, generator=generator)))


def gradients(model, step):
    """Gradients that depend on the name and the step only; a test lays those of another model out by itself."""
    out = {}
    for i, (name, parameter) in enumerate(model.named_parameters()):
        generator = torch.Generator().manual_seed(100 * step + i)
        out[name] = torch.randn(parameter.shape, generator=generator)
    return out


def take_step(model, optimizer, grads):
    for name, parameter in model.named_parameters():
        parameter.grad = grads[name].clone()
    optimizer.step()


def trained(kind, steps=3, **shapes):
    model = Weights(**shapes)
    optimizer = KINDS[kind](model.named_parameters())
    for step in range(steps):
        take_step(model, optimizer, gradients(model, step))
    return model, optimizer


def saved(tmp_path, model, optimizer, **more):
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), **more}, path)
    return wl.open(path)


def without_names(optimizer):
    """The optimizer's state dict as torch before 2.6 wrote it."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group.pop("param_names", None)
    return state


def values_of(optimizer):
    """Everything an optimizer holds, to be compared."""
    return deepcopy(optimizer.state_dict())


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


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


# ---- following, bitwise ----


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


# ---- Adafactor ----


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


# ---- names ----


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


# ---- sources that have to agree ----


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


# ---- the live side ----


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
