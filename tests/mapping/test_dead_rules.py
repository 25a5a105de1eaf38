"""What a rule says and what does not happen: every part of a rule has to fit something."""

from __future__ import annotations

import numpy as np
import pytest

from weightlift.dtypes import DTYPES
from weightlift.mapping.plan import Plan
from weightlift.sources import Memory
from weightlift.tensors.lazy import Storage, Tensor, contiguous


def pair() -> Tensor:
    data = Memory(np.arange(2, dtype="<f4").tobytes())
    return contiguous(DTYPES["float32"], (2,), Storage("0", data.size, data))


def problems(rules: str, source: str, target: str) -> list[str]:
    schema = dict.fromkeys(target.split(), ((2,), DTYPES["float32"]))
    found = Plan.of(rules).check({key: pair() for key in source.split()}, schema)
    return [f"{problem.code} {problem.line}" for problem in found.problems]


@pytest.mark.parametrize(
    ("rules", "source", "target"),
    [
        ("a -> a\nb -> c", "a", "a"),
        ("a, b -> a : cat(0)", "a", "a"),
        ('a -> a\nb, c -> drop "unused"', "a b", "a"),
        ("** -> **  except b", "a", "a"),
        ('a -> a\ninit -> b, c "new"', "a", "a b"),
    ],
)
def test_what_fits_nothing_is_told(rules, source, target):
    """A pattern of sources, of an exception or of targets to initialise that fits no name is a problem."""
    line = 5 + rules.count("\n")
    assert f"dead-rule {line}" in problems(rules, source, target)


@pytest.mark.parametrize("rule", ['b -> drop "unused"  optional', "b -> c  optional", 'init -> c "new"  optional'])
def test_an_optional_rule_may_fit_nothing(rule):
    """A rule that says optional may fit no name."""
    assert problems(f"a -> a\n{rule}", "a", "a") == []


@pytest.mark.parametrize("names", ["{b,c}.w", "b.w, c.w"])
def test_a_tie_may_have_several_targets(names):
    """One tie gives its source every name on its right side."""
    assert problems(f"a -> a\na => {names} : tie", "a", "a b.w c.w") == []
