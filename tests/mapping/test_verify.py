"""Proof of a plan by a forward pass: what it proves, what it refuses to prove, and that it leaves no trace."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from weightlift.errors import PlanError
from weightlift.faces.cli import main
from weightlift.mapping.plan import Plan
from weightlift.mapping.resolve import PlanProblems

from live_models import snapshot


class Block(nn.Module):
    """A block with two norms of one shape, under the names that are given."""

    def __init__(self, first: str, second: str, size: int = 8) -> None:
        super().__init__()
        self.names = first, second
        for name in self.names:
            self.add_module(name, nn.LayerNorm(size))
        self.mix = nn.Linear(size, size, bias=False)
        self.out = nn.Linear(size, size)

    def forward(self, x):
        """Run."""
        first, second = (getattr(self, name) for name in self.names)
        x = x + self.mix(first(x))
        return x + torch.relu(self.out(second(x)))


def old_blocks(count: int = 2) -> nn.Module:
    return nn.Sequential(*(Block("norm1", "norm2") for _ in range(count)))


def new_blocks(count: int = 2) -> nn.Module:
    return nn.Sequential(*(Block("ln_a", "ln_b") for _ in range(count)))


REST = "{i}.mix.weight -> {i}.mix.weight\n{i}.out.{t} -> {i}.out.{t}"
RIGHT = f"{{i}}.norm1.{{t}} -> {{i}}.ln_a.{{t}}\n{{i}}.norm2.{{t}} -> {{i}}.ln_b.{{t}}\n{REST}"
SWAPPED = f"{{i}}.norm1.{{t}} -> {{i}}.ln_b.{{t}}\n{{i}}.norm2.{{t}} -> {{i}}.ln_a.{{t}}\n{REST}"


def unsure(rules: str, *lines: int) -> str:
    return "\n".join(f"{rule} !unsure" if i in lines else rule for i, rule in enumerate(rules.split("\n")))


@pytest.fixture
def x():
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(3))


class Fused(nn.Module):
    """Attention of one fused projection; `layout` says what its rows mean."""

    def __init__(self, layout: str = "qkv h d") -> None:
        super().__init__()
        self.layout = layout
        self.qkv = nn.Linear(8, 24)
        self.proj = nn.Linear(8, 8)

    def forward(self, x):
        """Run."""
        rows = self.qkv(x)
        parts = rows.view(-1, 3, 2, 4) if self.layout == "qkv h d" else rows.view(-1, 2, 3, 4).transpose(1, 2)
        q, k, v = (part.transpose(0, 1) for part in parts.unbind(1))
        mixed = (q @ k.transpose(1, 2) / 2).softmax(-1) @ v
        return self.proj(mixed.transpose(0, 1).reshape(-1, 8))


class Split(nn.Module):
    """The same with three projections."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("q", "k", "v", "o"):
            self.add_module(name, nn.Linear(8, 8))

    def forward(self, x):
        """Run."""
        q, k, v = (layer(x).view(-1, 2, 4).transpose(0, 1) for layer in (self.q, self.k, self.v))
        mixed = (q @ k.transpose(1, 2) / 2).softmax(-1) @ v
        return self.o(mixed.transpose(0, 1).reshape(-1, 8))


# ---- what is proven ----


def test_a_rename_is_proven(x):
    """A plan of right renames proves, in float64, and its settled plan is itself."""
    found = Plan.of(RIGHT).verify(old_blocks(), new_blocks(), x)
    assert found.ok
    assert found.dtype == "float64"
    assert found.difference <= found.tolerance < 1e-7
    assert found.settled == Plan.of(RIGHT)
    assert str(found).startswith("proven: outputs differ by ")


def test_fresh_models_hide_what_verify_finds(x):
    """Freshly made norms are all alike, so a plain comparison passes a plan that swaps them; verify does not."""
    old, new = old_blocks(), new_blocks()
    plan = Plan.of(SWAPPED)
    plan.apply(new, old.state_dict())
    assert torch.equal(old(x), new(x))
    found = plan.verify(old, new, x)
    assert not found.ok
    assert found.settled is None
    assert found.module == "0.ln_a"
    assert [str(rule) for rule in found.lines] == ["{i}.norm2.{t} -> {i}.ln_a.{t}"]
    assert "first diverging module: 0.ln_a" in str(found)


def test_a_fused_layout_is_proven_or_not(x):
    """Three projections into one: the layout that the model reads proves, the other one does not."""
    rest = "\no.{t} -> proj.{t}"
    by_part = Plan.of("{q,k,v}.{t} -> qkv.{t} : cat(0)" + rest)
    by_head = Plan.of(
        '{q,k,v}.weight -> qkv.weight : cat(0) | rearrange("(p h d) i -> (h p d) i", p=3, h=2)\n'
        '{q,k,v}.bias -> qkv.bias : cat(0) | rearrange("(p h d) -> (h p d)", p=3, h=2)' + rest
    )
    for layout, right, wrong in (("qkv h d", by_part, by_head), ("h qkv d", by_head, by_part)):
        assert right.verify(Split(), Fused(layout), x).ok
        found = wrong.verify(Split(), Fused(layout), x)
        assert not found.ok
        assert found.module == "proj" or any("qkv" in str(rule) for rule in (*found.lines, *found.upstream))


def test_a_square_weight_that_should_be_transposed_is_found():
    """A square matrix fits either way round; only the right one proves."""

    class Conv1D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 6))

        def forward(self, x):
            return x @ self.weight

    x = torch.randn(3, 6)
    old, new = nn.Sequential(Conv1D()), nn.Sequential(nn.Linear(6, 6, bias=False))
    assert Plan.of("0.weight -> 0.weight : t").verify(old, new, x).ok
    found = Plan.of("0.weight -> 0.weight").verify(old, new, x)
    assert (found.ok, found.module) == (False, "0")


def test_positions_are_found_with_a_batch_of_one_and_without():
    """Outputs are compared whatever sizes of 1 they have: position embeddings that were doubled are named."""

    class Positions(nn.Module):
        def __init__(self, *, batch: bool) -> None:
            super().__init__()
            self.words, self.places, self.head = nn.Embedding(9, 4), nn.Embedding(5, 4), nn.Linear(4, 2)
            self.batch = batch

        def forward(self, ids):
            at = torch.arange(5)[None] if self.batch else torch.arange(5)
            return self.head(self.words(ids) + self.places(at))

    plan = Plan.of("{t}.weight -> {t}.weight except places.weight\nplaces.weight -> places.weight : scale(2)\n"
                   "head.bias -> head.bias")  # fmt: skip
    found = plan.verify(Positions(batch=True), Positions(batch=False), torch.randint(9, (2, 5)))
    assert (found.ok, found.module) == (False, "places")
    assert [rule.line for rule in found.lines] == [6]


def test_batch_norm_is_proven_by_its_running_values():
    """Running means and variances are random too, and variances positive; swapped ones are found."""
    old = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    new = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    x = torch.randn(3, 4)
    assert Plan.of("** -> **").verify(old, new, x).ok
    swapped = Plan.of("0.** -> 0.**\n1.** -> 1.**\n2.{t} -> 2.{t} except 2.running_mean except 2.bias\n"
                      "2.bias -> 2.running_mean\n2.running_mean -> 2.bias")  # fmt: skip
    found = swapped.verify(old, new, x)
    assert (found.ok, found.module) == (False, "2")


class Tied(nn.Module):
    """An embedding that is the head as well."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        """Run."""
        return self.head(self.embed(ids))


def test_tied_weights_stay_tied():
    """A tie is random once, proves as a tie, and is one tensor afterwards."""
    old, new = Tied(), Tied()
    plan = Plan.of('embed.weight -> embed.weight\nhead.weight -> drop "tied"\nembed.weight => head.weight : tie')
    assert plan.verify(old, new, torch.arange(7)).ok
    assert new.head.weight is new.embed.weight


def test_an_lstm_runs_on_the_random_values():
    """An LSTM holds its weights a second time in a list; there they are random as well."""
    old, new = nn.LSTM(4, 4), nn.LSTM(4, 4)
    x = torch.randn(3, 4)
    right = Plan.of("{t} -> {t}")
    assert right.verify(old, new, x).ok
    wrong = Plan.of("weight_ih_l0 -> weight_hh_l0\nweight_hh_l0 -> weight_ih_l0\n{t} -> {t} "
                    "except weight_ih_l0 except weight_hh_l0")  # fmt: skip
    assert not wrong.verify(old, new, x).ok


# ---- unsure lines ----


def test_unsure_lines_are_settled_by_proof(x):
    """A plan that proves as it stands loses its `!unsure`, and each such line says how it was proven."""
    plan = Plan.of(unsure(RIGHT, 0, 1) + "  # by order")
    found = plan.verify(old_blocks(), new_blocks(), x)
    assert found.ok
    assert [rule.comment for rule in found.settled.rules] == ["proven(forward)", "proven(forward)", "", "by order"]
    assert not any(rule.flags for rule in found.settled.rules)
    assert found.settled.check(old_blocks().state_dict(), new_blocks()).problems == []


def test_an_unsure_exchange_is_found(x):
    """Two unsure lines that are swapped are exchanged, and the plan with the one exchange that proves is given."""
    plan = Plan.parse('# why\nplan = 1\n[[block]]\nsource = ""\nrules = """\n' + unsure(SWAPPED, 0, 1) + '\n"""\n')
    found = plan.verify(old_blocks(), new_blocks(), x)
    assert not found.ok
    assert (found.possible, found.tried, found.proving) == (1, 1, 1)
    assert found.exchanged == (6, 7)
    assert found.settled.text.startswith("# why\nplan = 1\n")
    assert "{i}.norm2.{t} -> {i}.ln_b.{t}  # proven(forward)\n" in found.settled.text
    assert found.settled.verify(old_blocks(), new_blocks(), x).ok


def test_the_order_of_an_unsure_enumeration_is_found(x):
    """`{k,q,v}` where the model reads q, k, v is put in order; a prefix of the block stays where it is."""
    rules = "{v,q,k}.{t} -> qkv.{t} : cat(0) !unsure\no.{t} -> proj.{t}"
    plan = Plan.parse(f'plan = 1\n[[block]]\nsource = "0."\ntarget = "0."\nrules = """\n{rules}\n"""')
    found = plan.verify(nn.Sequential(Split()), nn.Sequential(Fused()), x)
    assert (found.possible, found.proving) == (5, 1)
    assert str(found.settled.rules[0]) == "{q,k,v}.{t} -> qkv.{t} : cat(0)"


def test_only_unsure_lines_are_exchanged(x):
    """A wrong line that is not marked is told and never exchanged."""
    found = Plan.of(SWAPPED).verify(old_blocks(), new_blocks(), x)
    assert (found.possible, found.tried, found.settled) == (0, 0, None)


def by_layer(count: int) -> str:
    """Every norm on unsure lines of its own: the blocks in reverse order, and the two norms of each exchanged."""
    return "\n".join(
        f"{i}.norm{n}.{name} -> {count - 1 - i}.ln_{'ba'[n - 1]}.{name} !unsure"
        for i in range(count)
        for n in (1, 2)
        for name in ("weight", "bias")
    )


def test_many_meanings_are_tried_module_by_module(x):
    """Where there are too many, the first diverging module is put right, then the next, to the end."""
    plan = Plan.of(f"{by_layer(6)}\n{REST}")
    found = plan.verify(old_blocks(6), new_blocks(6), x, max_tries=500)
    assert found.possible > 10**20
    assert found.tried < 500
    assert found.proving == 1
    norms = [rule.sides for rule in found.settled.rules if "norm" in rule.sides[0]]
    assert len(norms) == len(found.exchanged) == 24
    assert {source.replace("norm1", "ln_a").replace("norm2", "ln_b") == target for source, target in norms} == {True}
    assert found.settled.verify(old_blocks(6), new_blocks(6), x).ok


def test_the_search_ends_at_its_limit(x):
    """No more than `max_tries` are tried, and then nothing is settled."""
    plan = Plan.of(f"{by_layer(6)}\n{REST}")
    found = plan.verify(old_blocks(6), new_blocks(6), x, max_tries=3)
    assert (found.tried, found.proving, found.settled) == (3, 0, None)


def test_what_is_dropped_need_not_be_in_the_model(x):
    """A plan for a file may drop what only the file has; a live model proves it all the same."""
    assert Plan.of(RIGHT + '\nmask -> drop "made anew"').verify(old_blocks(), new_blocks(), x).ok


def test_what_the_outputs_do_not_depend_on_stays_unsure():
    """A line is not settled where other values in its target would give the same outputs: nothing was proven of it."""

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    found = Plan.of("used.** -> used.** !unsure\nidle.** -> idle.** !unsure").verify(Idle(), Idle(), torch.ones(1, 3))
    assert found.ok
    assert found.unseen == ("idle.weight", "idle.bias")
    assert [rule.flags for rule in found.settled.rules] == [frozenset(), {"unsure"}]


def test_two_exchanges_that_prove_settle_nothing():
    """Where several exchanges prove equal, none is taken: branches that are summed may change places."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(3, 3) for _ in range(3))

        def forward(self, x):
            return self.c(self.a(x) + self.b(x))

    plan = Plan.of("a.** -> a.** !unsure\nb.** -> c.** !unsure\nc.** -> b.** !unsure")
    found = plan.verify(Sum(), Sum(), torch.randn(2, 3))
    assert (found.ok, found.proving, found.settled) == (False, 2, None)


# ---- inputs and outputs ----


@dataclass
class Output:
    """An output with tensors at several depths."""

    hidden: torch.Tensor
    more: tuple


class Rich(nn.Module):
    """A model with such an output."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x, *, scale=1.0):
        """Run."""
        return {"out": Output(self.fc(x) * scale, (x.argmax(), [x.new_full((1,), -torch.inf)])), "name": "rich"}


@pytest.mark.parametrize(
    "inputs",
    [torch.ones(2, 3), (torch.ones(2, 3),), {"x": torch.ones(2, 3), "scale": 2}, lambda model: model(torch.ones(2, 3))],
    ids=["tensor", "tuple", "dict", "callable"],
)
def test_inputs_of_every_kind(inputs):
    """Tensors nested in tuples, lists, dicts and dataclasses are compared, whatever kind of inputs made them."""
    assert Plan.of("** -> **").verify(Rich(), Rich(), inputs).ok


def test_a_model_that_makes_float32_is_run_in_float32():
    """A callable that makes float32 inputs cannot run in float64: both run in float32, by its tolerance."""
    found = Plan.of("** -> **").verify(Rich(), Rich(), lambda model: model(torch.ones(2, 3)))
    assert found.dtype == "float32"
    assert 1e-4 < found.tolerance < 1e-3


def test_the_coarsest_type_within_sets_the_tolerance():
    """A float64 model that computes a norm in float32 is held to float32."""

    class Upcast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(nn.functional.normalize(x.float()).to(x.dtype))

    class Other(Upcast):
        def forward(self, x):
            x = x.float()
            return self.fc((x / x.pow(2).sum(-1, keepdim=True).sqrt()).to(self.fc.weight.dtype))

    found = Plan.of("** -> **").verify(Upcast(), Other(), torch.randn(4, 3))
    assert (found.ok, found.dtype) == (True, "float32")


def test_inputs_of_the_new_model_may_differ():
    """`new_inputs` are for a new model that takes its inputs otherwise."""
    x = torch.ones(2, 3)
    found = Plan.of("fc.** -> **").verify(Rich(), nn.Linear(3, 3), lambda m: m(x)["out"].hidden, new_inputs=x)
    assert found.ok


def test_outputs_that_cannot_be_compared_are_errors():
    """Another number of tensors, or no finite floating value at all, proves nothing and is refused."""
    with pytest.raises(PlanError, match="3 tensors in the old model's output, 1 in the new one's"):
        Plan.of("fc.** -> **").verify(Rich(), nn.Linear(3, 3), torch.ones(2, 3))
    with pytest.raises(PlanError, match="no finite floating value"):
        Plan.of("** -> **").verify(Rich(), Rich(), lambda model: model(torch.ones(1, 3))["out"].more)


def test_a_plan_with_problems_is_refused(x):
    """Every problem but `!unsure` is told before anything runs."""
    with pytest.raises(PlanProblems, match="not used"):
        Plan.of(REST).verify(old_blocks(), new_blocks(), x)
    with pytest.raises(PlanError, match="new_model is a dict; expected a torch module"):
        Plan.of(RIGHT).verify(old_blocks(), {}, x)


def test_what_is_initialised_keeps_its_values():
    """What the plan leaves to be initialised keeps the new model's own values: an adapter of zeros is no change."""

    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base, self.adapter = nn.Linear(3, 3), nn.Linear(3, 3)
            nn.init.zeros_(self.adapter.weight)
            nn.init.zeros_(self.adapter.bias)

        def forward(self, x):
            return self.base(x) + self.adapter(x)

    plan = Plan.of('** -> base.**\ninit -> adapter.** "starts as nothing"')
    assert plan.verify(nn.Linear(3, 3), Adapted(), torch.ones(2, 3)).ok


def test_dropped_buffers_keep_their_values():
    """A buffer that the plan drops, such as a mask that the new model makes itself, is not made random."""

    class Masked(nn.Module):
        def __init__(self, *, saved: bool) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)
            self.register_buffer("mask", torch.ones(3, 3).tril(), persistent=saved)

        def forward(self, x):
            return self.fc(x) @ self.mask

    plan = Plan.of('fc.** -> fc.**\nmask -> drop "made anew"')
    assert plan.verify(Masked(saved=True), Masked(saved=False), torch.randn(2, 3)).ok


# ---- no trace ----


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
