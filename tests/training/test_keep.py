"""The rule of what stays: a pure function of steps, metrics and pins."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightlift.errors import StoreError
from weightlift.training.keep import Keep, kept, ranked, rule
from weightlift.training.listing import StoredStep, step_name, step_number, step_of

VALUES = st.one_of(st.floats(-3, 3), st.sampled_from([math.nan, math.inf, -math.inf, 0, 1]))


@st.composite
def histories(draw):
    """Checkpoints of a run: some without the metric, some with NaN, some pinned, some partial."""
    steps = draw(st.lists(st.integers(0, 40), unique=True, max_size=14))
    return [
        StoredStep(
            step,
            step_name(step),
            metrics=draw(st.one_of(st.just({}), st.builds(lambda v: {"loss": v}, VALUES))),
            pinned=draw(st.integers(0, 5)) == 0,
            partial=("model",) if draw(st.integers(0, 3)) == 0 else (),
        )
        for step in steps
    ]


RULES = st.builds(
    lambda last, best, mode, every: Keep(last, best, "loss" if best else "", mode if best else "", every),
    st.one_of(st.none(), st.integers(1, 5)),
    st.integers(0, 4),
    st.sampled_from(["min", "max"]),
    st.one_of(st.none(), st.integers(1, 9)),
)


def reached(history, keep):
    """The k best by the definition: one stays where fewer than k others beat it."""
    numbered = [c for c in history if "loss" in c.metrics and not math.isnan(c.metrics["loss"])]

    def beats(a, b):
        x, y = a.metrics["loss"], b.metrics["loss"]
        return (a.step > b.step) if x == y else (x < y if keep.mode == "min" else x > y)

    return {c.step for c in numbered if sum(beats(other, c) for other in numbered) < keep.best}


@given(histories(), RULES)
def test_what_stays_is_what_the_rule_says(history, keep):
    """Exactly the last, the best by brute force, the multiples, the pinned, the newest and the newest whole stay."""
    stays = {step for step, why in kept(history, keep).items() if why}
    newest = sorted(c.step for c in history)
    whole = [c.step for c in history if not c.partial]
    expected = set(newest[-keep.last :] if keep.last else newest)
    expected |= reached(history, keep) | {c.step for c in history if c.pinned}
    expected |= {s for s in newest if keep.every and s % keep.every == 0}
    assert stays == expected | set(newest[-1:]) | ({max(whole)} if whole else set())


@given(histories(), RULES)
def test_pruning_twice_removes_nothing_more(history, keep):
    """What stays after pruning stays for the same reasons when the rule looks again."""
    first = kept(history, keep)
    left = [c for c in history if first[c.step]]
    assert kept(left, keep) == {c.step: first[c.step] for c in left}


@given(histories(), RULES)
def test_pruning_at_every_save_keeps_the_best(history, keep):
    """A run that prunes after each save ends with the same best ones as one that prunes once, at the end."""
    left = []
    for checkpoint in sorted(history, key=lambda c: c.step):
        left.append(checkpoint)
        why = kept(left, keep)
        left = [c for c in left if why[c.step]]
    at_once = {step for step, why in kept(history, keep).items() if why}
    assert at_once <= {c.step for c in left}
    assert reached(history, keep) <= {c.step for c in left}


def test_a_tie_goes_to_the_newer():
    """Of equal metrics the newer checkpoint ranks first."""
    history = [StoredStep(step, "", metrics={"loss": 1.0}) for step in (3, 1, 2)]
    assert [c.step for c in ranked(history, rule(best="loss:min"))] == [3, 2, 1]


@pytest.mark.parametrize(
    ("given_keep", "best", "expected"),
    [
        (None, None, Keep(last=None)),
        (3, None, Keep(last=3)),
        (3, "a:b:max", Keep(last=3, best=1, metric="a:b", mode="max")),
        (None, "loss:min", Keep(last=None, best=1, metric="loss", mode="min")),
        (Keep(last=2, every=10), "loss:min", Keep(last=2, best=1, metric="loss", mode="min", every=10)),
    ],
)
def test_shorthands(given_keep, best, expected):
    """keep=3 and best="loss:min" spell the same rule as Keep."""
    assert rule(given_keep, best) == expected


@pytest.mark.parametrize(
    ("given_keep", "best", "message"),
    [
        (0, None, "the newest checkpoint always stays"),
        (True, None, "expected a whole number"),
        (2.0, None, "expected a whole number"),
        (Keep(best=1), None, "best=1 without a metric"),
        (Keep(best=1, metric="loss"), None, "mode='min' where lower is better"),
        (Keep(metric="loss", mode="min"), None, "keeps nothing"),
        (Keep(best=-1), None, "0 or more"),
        (Keep(every=0), None, "1 or more steps"),
        (Keep(best=1, metric="loss", mode="min"), "loss:min", "asked for twice"),
        (None, "loss", "'METRIC:min' or 'METRIC:max'"),
        (None, "loss:lowest", "'METRIC:min' or 'METRIC:max'"),
        (None, ":min", "'METRIC:min' or 'METRIC:max'"),
    ],
)
def test_rules_that_mean_nothing_are_refused(given_keep, best, message):
    """A rule that contradicts itself is refused where the store is made, before a run depends on it."""
    with pytest.raises(StoreError, match=message):
        rule(given_keep, best)


@given(st.integers(0, 10**15))
def test_names_of_steps_and_back(step):
    """A step's directory has one name, and the name one step."""
    assert step_of(step_name(step)) == step


@pytest.mark.parametrize(
    "name",
    [
        "step-1",
        "step-0000001",
        "step-+00001",
        "step-000001.broken",
        "step-00000\u0661",
        "Step-000001",
        "step-",
    ],
)
def test_other_names_are_no_steps(name):
    """A name that is not spelled exactly as a step is none of ours."""
    assert step_of(name) is None


@pytest.mark.parametrize("step", [-1, True, 1.0, "1", None, [1], 10**18])
def test_steps_are_whole_numbers(step):
    """Anything but an integer of 0 or more is refused as a step."""
    with pytest.raises(StoreError, match="whole number, 0 or more"):
        step_number(step)
