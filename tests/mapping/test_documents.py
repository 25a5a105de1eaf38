"""Plan documents: rules arrive as they were written, and what is no plan is told as such."""

from __future__ import annotations

import pytest

from weightlift.errors import PlanError
from weightlift.mapping.plan import Plan

ODD = [
    r'a\.b -> drop "C:\new\table"',
    "a -> drop \"it is '''quoted'''\"",
    "a -> drop \"'''\\ both\"",
    'a -> drop "tab\tbell\x07end\x7f"',
    'a"""b -> c',
    'a -> b\nc\\d -> drop "two lines"',
]


@pytest.mark.parametrize("rules", ODD)
def test_rules_arrive_as_they_are_written(rules):
    """Backslashes, quotes and control characters are nothing special to a rule."""
    plan = Plan.of(rules)
    assert "\n".join(rule.text for rule in plan.rules) == rules
    assert [rule.text for rule in Plan.parse(plan.text).rules] == [rule.text for rule in plan.rules]


@pytest.mark.parametrize(
    "text",
    ["block = 3", "block = [3]", 'block = ["a"]', "source = 3", "target = [1]", "[source]\nschema = 3",
     "[[block]]\nrules = 'a -> b'\nsource = 3", "[[block]]\nrules = 'a -> b'\ntarget = ['x']",
     "[block]\nrules = 'a -> b'"],
)  # fmt: skip
def test_fields_of_another_kind(text):
    with pytest.raises(PlanError, match=r"block|source|target"):
        Plan.parse(f"plan = 1\n{text}\n")
