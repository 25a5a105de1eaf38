"""Proof of a plan by a forward pass: what it proves and what it refuses to prove."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from weightlift.errors import PlanError
from weightlift.mapping.plan import Plan
from weightlift.mapping.resolve import PlanProblems

from verified_blocks import REST, RIGHT, SWAPPED, Fused, Split, new_blocks, old_blocks


@pytest.fixture
def x():
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(3))


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
