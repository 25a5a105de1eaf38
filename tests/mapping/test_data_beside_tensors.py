"""State dicts with entries that are no plain tensor: each is left out by name, or is a problem; nothing crashes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.actions.load import load
from weightlift.actions.plan import check_plan
from weightlift.faces.cli import main
from weightlift.mapping.fitting import LoadError
from weightlift.mapping.resolve import PlanProblems

DATA = {"number": 3, "text": "words", "sparse": torch.eye(2).to_sparse()}


@pytest.fixture(params=DATA)
def path(request, tmp_path):
    path = tmp_path / "mixed.pt"
    torch.save({"a.w": torch.ones(2), "b.w": torch.ones(3), "n": DATA[request.param]}, path)
    return path


class Model(nn.Module):
    """Two parameters."""

    def __init__(self) -> None:
        super().__init__()
        for name, size in (("a", 2), ("b", 3)):
            child = self.add_module(name, nn.Module()) or getattr(self, name)
            child.w = nn.Parameter(torch.zeros(size))


@pytest.mark.parametrize("rules", ["** -> **", "n -> a.w\n{a,b}.w -> {a,b}.w optional", "{a,b}.w -> {a,b}.w"])
def test_data_that_no_rule_drops_is_a_problem(path, rules):
    """What is no plain tensor is told by name, whether a rule fits it or none does; nothing is set down."""
    weights, model, plan = wl.open(path).state_dict(), Model(), wl.Plan.of(rules)
    assert [p.keys for p in plan.check(weights, model).problems if p.code == "no-tensor"] == [("n",)]
    with pytest.raises(PlanProblems, match="'n' is no plain tensor, and cannot be set down"):
        plan.apply(model, weights)
    with pytest.raises(PlanProblems, match="'n' is no plain tensor"):
        plan.state_dict(weights)
    with pytest.raises(PlanProblems, match="'n' is no plain tensor"):
        load(model, path, plan=plan)
    assert model.a.w.tolist() == [0, 0]


@pytest.mark.parametrize("rules", ['** -> ** except n\nn -> drop "why"', '{t}.w -> {t}.w\nn.** -> drop "why"'])
def test_data_can_be_dropped(path, tmp_path, rules):
    """A rule that drops data leaves it out, with its reason in the report."""
    weights, plan, out = wl.open(path).state_dict(), wl.Plan.of(rules), tmp_path / "out.safetensors"
    for report in (
        plan.apply(Model(), weights),
        load(Model(), path, plan=plan),
        plan.apply(out, weights),
    ):
        assert [(line.key, line.shape, line.note) for line in report.with_status("dropped")] == [("n", (), "why")]
    assert set(wl.open(out).state_dict()) == {"a.w", "b.w"}


def test_the_lines_of_the_error_settle_data(path):
    """The rule lines in the message of load leave data out by name."""
    with pytest.raises(LoadError, match="'n' is no plain tensor") as caught:
        load(Model(), path)
    assert any(line.startswith("n -> drop") for line in caught.value.suggestions)
    model = Model()
    load(model, path, plan=wl.Plan.of("\n".join(caught.value.suggestions)))
    assert model.b.w.tolist() == [1, 1, 1]


def test_plan_of_a_file_and_itself(path, tmp_path, capsys):
    """`plan` of a file with data and the same file is complete, and `apply` carries that very plan out."""
    assert main(["plan", str(path), str(path), "-o", str(tmp_path / "p.toml")]) == 0
    assert "'n' is no plain tensor, and is left out" in capsys.readouterr().out
    out = tmp_path / "out.safetensors"
    assert main(["apply", str(path), str(tmp_path / "p.toml"), str(out)]) == 0
    assert set(wl.open(out).state_dict()) == {"a.w", "b.w"}


def test_data_in_the_target_only(path, tmp_path):
    """Data that only the target has is nothing that a plan could make, and no problem."""
    torch.save({"a.w": torch.ones(2), "b.w": torch.ones(3)}, tmp_path / "plain.pt")
    assert check_plan(tmp_path / "plain.pt", path).is_complete


def test_packed_parameters_can_be_dropped(tmp_path):
    """The packed parameters of a quantised module are data like any other."""
    torch.save(torch.ao.nn.quantized.Linear(2, 2).state_dict(), tmp_path / "quantised.pt")
    weights = wl.open(tmp_path / "quantised.pt").state_dict()
    keys = {key for key in weights if key not in ("scale", "zero_point")}
    assert {k for p in wl.Plan.of("** -> **").check(weights).problems for k in p.keys} == keys
    made = wl.Plan.of('** -> ** except _packed_params.**\n_packed_params.** -> drop "why"').state_dict(weights)
    assert set(made) == {"scale", "zero_point"}


def test_the_line_that_drops_data_can_be_pasted():
    """The rule line in the problem is a rule, whatever the name is."""
    with pytest.raises(PlanProblems) as caught:
        wl.Plan.of("w -> w").state_dict({"w": torch.ones(2), "my {n}": 3})
    line = str(caught.value).partition("(drop it: ")[2].rstrip(")")
    made = wl.Plan.of(f"w -> w\n{line}").state_dict({"w": torch.ones(2), "my {n}": 3})
    assert list(made) == ["w"]
