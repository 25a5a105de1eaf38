"""The plans in plans/: each is total, and gives what the libraries' own converters give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weightlift.mapping.plan import Plan

from mapbench import Pair, carried_out

PLANS = Path(__file__).parents[2] / "plans"
FILES = sorted(PLANS.glob("*.plan.toml"))
NAMES = [path.name.removesuffix(".plan.toml") for path in FILES]

every_plan = pytest.mark.parametrize("name", NAMES)
needs_pairs = pytest.mark.skipif(
    not any(map(Pair.exists, NAMES)), reason="no recorded conversions: set WEIGHTLIFT_MAPBENCH"
)


def plan_of(name: str) -> Plan:
    return Plan.load(PLANS / f"{name}.plan.toml")


def pair_of(name: str) -> Pair:
    if not Pair.exists(name):
        pytest.skip(f"no recorded conversion {name}")
    return Pair.load(name)


def table() -> dict[str, tuple[int, int]]:
    """Plan -> (rule lines, targets), as plans/README.md says."""
    rows = [line.split("|") for line in (PLANS / "README.md").read_text("utf-8").splitlines() if ".plan.toml" in line]
    return {row[1].split("]")[0].strip(" [`"): (int(row[2]), int(row[3])) for row in rows if len(row) > 3}


@every_plan
def test_a_plan_is_parsed(name):
    """A plan has rules, and its text is the file."""
    plan = plan_of(name)
    assert plan.rules
    assert str(plan) == (PLANS / f"{name}.plan.toml").read_text("utf-8")


@every_plan
def test_a_plan_is_in_the_table(name):
    """The table of plans/README.md gives the number of each plan's rules, and of the targets."""
    rules, targets = table()[name]
    assert rules == len(plan_of(name).rules)
    if Pair.exists(name):
        assert targets == len(Pair.load(name).target)


@needs_pairs
@every_plan
def test_a_plan_gives_what_the_converter_gives(name):
    """A plan has no problem, makes each target of the same elements, and initialises what the converter leaves out."""
    pair = pair_of(name)
    found = plan_of(name).check(pair.source, pair.target)
    assert [str(problem) for problem in found.problems] == []
    left_out = {key for key, op in pair.truth.items() if op["op"] in ("none", "computed")}
    assert set(found.initialised) == left_out
    assert set(found.made) == set(pair.target) - left_out
    for key, made in found.made.items():
        expected = pair.expected(key)
        assert not made.cast_from, key
        assert made.value.dtype is pair.target[key][1], key
        assert tuple(made.value.shape) == expected.shape, key
        assert made.value.tobytes() == expected.tobytes(), key


@needs_pairs
@every_plan
def test_a_plan_leaves_no_source_unsaid(name):
    """Every source tensor goes into a target or is dropped with a reason."""
    pair = pair_of(name)
    found = plan_of(name).check(pair.source, pair.target)
    used = {key for made in found.made.values() for key in made.sources}
    assert used | set(found.dropped) == set(pair.source)
    assert all(rule.reason for rule in (*found.dropped.values(), *found.initialised.values()))


def test_recorded_operations_are_carried_out():
    """The operations of a recorded conversion do to elements what their names say."""
    a, b = np.arange(6).reshape(2, 3), np.arange(6, 12).reshape(2, 3)

    def made(**op):
        return carried_out({"from": ["a"], **op}, {"a": a, "b": b}).tolist()

    assert made(op="copy") == [[0, 1, 2], [3, 4, 5]]
    assert made(op="reshape", shape=[3, 2]) == [[0, 1], [2, 3], [4, 5]]
    assert made(op="transpose", perm=[1, 0]) == [[0, 3], [1, 4], [2, 5]]
    assert made(op="slice", dim=1, offset=1, length=2) == [[1, 2], [4, 5]]
    assert made(op="permute", dim=1, perm=[2, 0, 1]) == [[2, 0, 1], [5, 3, 4]]
    both = {"from": ["a", "b"]}
    assert made(op="concat", dim=0, **both) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert made(op="stack", dim=0, **both)[1] == [[6, 7, 8], [9, 10, 11]]
    first = {"op": "slice", "from": ["a"], "dim": 0, "offset": 0, "length": 1}
    then = {"op": "transpose", "perm": [1, 0]}
    assert made(op="concat", dim=0, parts=[first, first], then=then) == [[0, 0], [1, 1], [2, 2]]
