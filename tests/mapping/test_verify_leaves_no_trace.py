"""A verification leaves no trace: models come back as they were, and the command says what it found."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from torch import nn

from weightlift.errors import PlanError
from weightlift.faces.cli import main
from weightlift.mapping.plan import Plan

from live_models import snapshot
from verified_blocks import RIGHT, SWAPPED, new_blocks, old_blocks, unsure


@pytest.fixture
def x():
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(3))


class Untidy(nn.Module):
    """A model whose forward pass leaves things behind, and fails where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.calls = []
        self.fail = False

    def forward(self, x):
        """Run."""
        self.seen += 1
        self.calls.append(1)
        self.cache = x
        self.norm.train()
        self.fc.register_forward_hook(print)
        if self.fail:
            raise ValueError("out of order")
        return self.norm(self.fc(x))


def state(model: nn.Module):
    modules = {
        path: (child.training, list(child._forward_hooks), sorted(vars(child))) for path, child in model.named_modules()
    }
    grads = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    return snapshot(model), {p: t.data_ptr() for p, t in model.state_dict().items()}, modules, str(grads)


@pytest.mark.parametrize("case", ["proven", "wrong", "old fails", "new fails", "interrupted"])
def test_models_come_back_exactly(case):
    """After a proof, a refusal and an error alike both models have their values, memory, modes, hooks and types."""
    old, new = Untidy().half(), Untidy().eval()
    for model in (old, new):
        model.norm.eval()
        model.fc.weight.grad = torch.ones_like(model.fc.weight)
        model.fc.bias.requires_grad_(False)
    old.fail, new.fail = case == "old fails", case == "new fails"
    before = state(old), state(new), torch.random.get_rng_state()

    def interrupt(model):
        raise KeyboardInterrupt("out of order")

    exchanged = "norm.weight -> norm.bias !unsure\nnorm.bias -> norm.weight !unsure"
    wrong = f"fc.** -> fc.**\nnorm.{{t}} -> norm.{{t}} except norm.weight except norm.bias\n{exchanged}"
    rules = wrong if case == "wrong" else "** -> **"
    inputs = interrupt if case == "interrupted" else torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    if case in ("proven", "wrong"):
        found = Plan.of(rules).verify(old, new, inputs)
        assert found.ok == (case == "proven")
    else:
        kind = KeyboardInterrupt if case == "interrupted" else PlanError
        with pytest.raises(kind, match="out of order"):
            Plan.of(rules).verify(old, new, inputs)
    assert (state(old), state(new)) == before[:2]
    assert torch.equal(torch.random.get_rng_state(), before[2])
    assert old.calls == new.calls == []


def test_models_that_share_weights_are_left_alone(x):
    """A new model made around modules of the old one is proven, and neither changes."""
    old = old_blocks()
    new = new_blocks()
    new[0].mix, new[1].out = old[0].mix, old[1].out
    before = snapshot(old), snapshot(new)
    assert Plan.of(RIGHT).verify(old, new, x).ok
    assert not Plan.of(SWAPPED).verify(old, new, x).ok
    assert (snapshot(old), snapshot(new)) == before


def test_old_weight_norm_comes_back(x):
    """A hook that computes a weight anew at each pass finds its parameters random, and its weight put back."""
    with pytest.warns(FutureWarning):
        old = nn.utils.weight_norm(nn.Linear(8, 8))
    new = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    weight = old.weight
    plan = Plan.of(
        "bias -> bias\nweight_g -> parametrizations.weight.original0\nweight_v -> parametrizations.weight.original1"
    )
    assert plan.verify(old, new, x).ok
    assert old.weight is weight


def test_meta_models_are_refused(x):
    """A model without values cannot run, and the error says what to do."""
    with pytest.raises(PlanError, match="a tensor without values; initialise the model first"):
        Plan.of(RIGHT).verify(old_blocks(), new_blocks().to("meta"), x)


def test_models_of_inference_mode_are_refused(x):
    """Tensors that were made in inference mode cannot be written, and the error says so."""
    with torch.inference_mode():
        made = new_blocks()
    with pytest.raises(PlanError, match="a tensor made in inference mode; make the model outside of it"):
        Plan.of(RIGHT).verify(old_blocks(), made, x)


# ---- as data ----


def test_a_verification_is_plain_data(x):
    """The result as JSON holds the verdict, the module, its lines and the settled plan."""
    found = Plan.of(unsure(SWAPPED, 0, 1)).verify(old_blocks(), new_blocks(), x)
    document = json.loads(json.dumps(found.to_json()))
    assert document["module"] == "0.ln_a"
    assert document["lines"] == [{"line": 6, "rule": "{i}.norm2.{t} -> {i}.ln_a.{t} !unsure"}]
    assert document["settled"] == found.settled.text


# ---- the command ----


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder with a module of two factories and inputs, and plans."""
    (tmp_path / "verified_models.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def old():\n    print('made')\n    return nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.LayerNorm(4))\n"
        "def new():\n    return nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.LayerNorm(4))\n"
        "def inputs():\n    return torch.ones(1, 4).cumsum(1)\n"
        "def broken():\n    raise ValueError('no data')\n"
    )
    Plan.of("** -> **").save(tmp_path / "right.toml")
    Plan.of("0.** -> 2.** !unsure\n1.** -> 1.**\n2.** -> 0.** !unsure").save(tmp_path / "wrong.toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("verified_models", None)


MODELS = ["verified_models:old", "verified_models:new"]


def test_the_command_tells_what_is_proven(code, capsys):
    """`weightlift verify` ends with 0 where the plan is proven, and prints nothing else."""
    assert main(["verify", "right.toml", *MODELS, "--inputs", "verified_models:inputs"]) == 0
    assert capsys.readouterr().out.startswith("proven: ")


def test_the_command_writes_the_settled_plan(code, capsys):
    """It ends with 1 where the plan does not prove as it stands; -o has the one that does, --json all of it."""
    words = [*MODELS, "--inputs", "verified_models:inputs", "--json"]
    assert main(["verify", "wrong.toml", *words, "-o", "settled.toml"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["ok"], document["module"]) == ("verification", False, "0")
    assert Plan.load("settled.toml").text == document["settled"]
    assert main(["verify", "settled.toml", *words]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (MODELS, "expected --inputs package.module:function"),
        (
            [*MODELS, "--inputs", "verified_models:broken"],
            "verified_models:broken: gives no inputs: ValueError: no data",
        ),
        ([*MODELS, "--inputs", "verified_models:missing"], "verified_models:missing: cannot be made: AttributeError"),
        (["old.pt", MODELS[1], "--inputs", "verified_models:inputs"], "'old.pt' names no code"),
    ],
)
def test_errors_of_the_command_end_with_2(code, capsys, words, told):
    """Code that cannot be run is an error that names it."""
    assert main(["verify", "right.toml", *words]) == 2
    assert told in capsys.readouterr().err
