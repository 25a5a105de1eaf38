"""The search among unsure lines: what a forward pass settles, and what it leaves open."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from weightlift.mapping.plan import Plan

from verified_blocks import REST, RIGHT, SWAPPED, Fused, Split, new_blocks, old_blocks, unsure


@pytest.fixture
def x():
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(3))


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
