"""Names of a model that are the same memory: a tie, however it was made; parts of it are refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.actions.load import load
from weightlift.actions.plan import check_plan, inverted_plan
from weightlift.errors import PlanError
from weightlift.mapping.fitting import LoadError
from weightlift.mapping.plan import Plan
from weightlift.tensors.torch_modules import ModuleTarget

both_ways = pytest.mark.parametrize("assign", [False, True], ids=["in place", "assign"])


def pair() -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.Linear(3, 5, bias=False) for name in ("a", "b")})


def by_a_new_parameter():
    model = pair()
    model["b"].weight = nn.Parameter(model["a"].weight)
    return model


def by_data():
    model = pair()
    model["b"].weight.data = model["a"].weight.data
    return model


def by_numpy():
    model, held = pair(), torch.zeros(5, 3).numpy()
    for child in model.values():
        child.weight = nn.Parameter(torch.from_numpy(held))
    return model


def by_a_buffer():
    model = pair()
    del model["b"].weight
    model["b"].register_buffer("weight", model["a"].weight.detach().view(5, 3))
    return model


def on_meta():
    with torch.device("meta"):
        return by_a_new_parameter()


TIES = [by_a_new_parameter, by_data, by_numpy, by_a_buffer, on_meta]


@both_ways
@pytest.mark.parametrize("make", TIES)
def test_the_same_memory_is_a_tie(make, assign):
    """Two objects over one memory are one tensor: it is not made of two, and one of its names is enough."""
    model, one = make(), torch.rand(5, 3)
    with pytest.raises(LoadError, match=r"'a\.weight' and 'b\.weight' are one tensor in the target"):
        load(model, {"a.weight": one, "b.weight": torch.ones(5, 3)}, assign=assign)
    report = load(model, {"b.weight": one}, assign=assign)
    assert [line.key for line in report.with_status("tied")] == ["a.weight"]
    assert torch.equal(model["a"].weight, one)
    assert torch.equal(model["b"].weight, one)


@both_ways
@pytest.mark.parametrize("make", TIES)
def test_a_tie_by_memory_stays_one(make, assign):
    """After loading, a change of one is a change of the other; they stay the objects, or the kinds, that they were."""
    model = make()
    kinds = [type(child.weight) for child in model.values()]
    load(model, {"a.weight": torch.rand(5, 3)}, assign=assign)
    assert ModuleTarget(model).ties == [("a.weight", "b.weight")]
    assert [type(child.weight) for child in model.values()] == kinds
    assert model["a"].weight is not model["b"].weight
    with torch.no_grad():
        model["a"].weight.fill_(7)
    assert model["b"].weight.unique().tolist() == [7]


PARTS = {
    "rows": lambda whole: whole[1:],
    "columns": lambda whole: whole[:, 1:],
    "transposed": lambda whole: whole.T,
    "another type": lambda whole: whole.view(torch.int32),
    "another size": lambda whole: whole.view(torch.float16)[:, 1:3],
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_part_of_the_memory_is_refused(part, device):
    """Memory that is shared in part, or in another order, is refused by both names before anything is set."""
    model, whole = nn.Module(), torch.zeros(4, 4, device=device)
    model.register_buffer("a", whole)
    model.register_buffer("b", PARTS[part](whole))
    with pytest.raises(PlanError, match="'a' and 'b' share a part of their memory; expected all of it"):
        load(model, {"a": torch.ones(4, 4), "b": torch.ones(4, 4)})
    assert device == "meta" or not model.a.any()


@both_ways
def test_parts_side_by_side_are_no_tie(assign):
    """Views of one storage that have no element in common are tensors of their own."""
    model, whole = nn.Module(), torch.zeros(4, 4)
    for name, part in (("a", whole[:2, :2]), ("b", whole[:2, 2:]), ("c", whole[2:])):
        model.register_buffer(name, part)
    source = {"a": torch.rand(2, 2), "b": torch.rand(2, 2), "c": torch.rand(2, 4)}
    load(model, source, assign=assign)
    assert all(torch.equal(getattr(model, name), value) for name, value in source.items())


def test_tensors_without_elements_are_no_tie():
    """Empty tensors share nothing."""
    model = nn.Module()
    model.register_buffer("a", torch.empty(0))
    model.register_buffer("b", model.a.view(0, 2))
    assert ModuleTarget(model).ties == []


@pytest.mark.parametrize("make", TIES)
def test_a_plan_on_paper_knows_the_ties(make, tmp_path):
    """Without rules, a plan on paper takes one name of a tie for all of them, as load does."""
    wl.StateDict.of({"a.weight": torch.rand(5, 3)}).save(tmp_path / "one.safetensors")
    checked = check_plan(tmp_path / "one.safetensors", make())
    assert checked.is_complete
    assert checked.report.counts == load(make(), tmp_path / "one.safetensors").counts == {"exact": 1, "tied": 1}


class Tied(nn.Module):
    """Two names that are one parameter, and one parameter more of the same shape."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__()
        self.c = nn.ModuleDict({"x": nn.Linear(3, 3, bias=False)})
        for name in (first, second):
            self.add_module(name, nn.Linear(3, 3, bias=False))
        getattr(self, second).weight = self.c["x"].weight


@pytest.mark.parametrize(
    "names",
    [
        ["a.weight", "a.0.weight", "a.0.bias"],
        ["d.weight", "head_.weight"],
        ["ce.x.weight", "he.weight"],
        ["zzzzzzzzzzzz"],
        [],
    ],
    ids=repr,
)
def test_the_lines_of_the_error_settle_ties_of_new_names(names):
    """Where no name of a tie is in the file, the lines make it of one tensor at most, and load."""
    source = {name: torch.rand(3, 3) for name in names}
    with pytest.raises(LoadError) as caught:
        load(Tied("d", "head"), source)
    model = Tied("d", "head")
    load(model, source, plan=Plan.of("\n".join(caught.value.suggestions)))
    assert model.head.weight is model.c["x"].weight


def test_the_line_of_a_tie_takes_the_nearest_name():
    """Of the names of a tie, the one that is nearest to the file's is made, and the others are tied to it."""
    source = {"lm_head.weight": torch.rand(3, 3), "d.weight": torch.rand(3, 3)}
    with pytest.raises(LoadError) as caught:
        load(Tied("d", "head"), source)
    assert caught.value.suggestions[1:] == (
        "lm_head.weight -> head.weight    # the only ones of this shape",
        "lm_head.weight => c.x.weight : tie",
    )


@both_ways
@pytest.mark.parametrize("make", TIES)
def test_a_tied_name_that_is_initialised_is_told_as_tied(make, assign):
    """A name that is one tensor with what is made cannot keep its values: the report says tied, not init."""
    given = {"a.weight": torch.ones(5, 3), "b.weight": torch.ones(2)}
    plan = Plan.of('a.weight -> a.weight\nb.weight -> drop "old"\ninit -> b.** "new"')
    for report in (
        load(make(), given, mismatch=["b.**"], assign=assign),
        plan.apply(make(), given, assign=assign),
    ):
        assert [(line.key, line.sources) for line in report.with_status("tied")] == [("b.weight", ("a.weight",))]
        assert not report.with_status("init")


def test_other_parts_of_what_is_tied_are_refused():
    """Two names of one tensor cannot get the same rows in different places."""
    plan = Plan.of("w -> a.weight[0:1], b.weight[1:2] : copy | rest=init  !partial")
    with pytest.raises(PlanError, match="are one tensor in the target and are made of different ones"):
        plan.apply(by_data(), {"w": torch.ones(1, 3)})


def test_a_conjugated_view_is_no_tie():
    """What reads the same memory with the sign turned round has other values, and is refused like a part of it."""
    model = nn.Module()
    model.register_buffer("a", torch.zeros(2, dtype=torch.complex64))
    model.register_buffer("b", model.a.conj())
    with pytest.raises(PlanError, match="'a' and 'b' share a part of their memory"):
        ModuleTarget(model)


def test_a_plan_that_parts_what_is_tied_is_not_inverted(tmp_path):
    """Turning a plan round for a target with ties needs a plan that fits it, on paper as in memory."""
    source, target, rules = (str(tmp_path / name) for name in ("source.pt", "target.pt", "rules.toml"))
    weight = torch.ones(2)
    torch.save({"a": torch.ones(2), "b": torch.ones(2)}, source)
    torch.save({"a": weight, "b": weight}, target)
    Plan.of("** -> **").save(rules)
    with pytest.raises(PlanError, match="are one tensor in the target"):
        inverted_plan(source, target, rules)
