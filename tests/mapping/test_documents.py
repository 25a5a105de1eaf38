"""Plan documents: rules arrive as they were written, and what is no plan is told as such."""

from __future__ import annotations

import numpy as np
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


HEAD = "plan = 1  # rules = 'x -> y' of old\n"
RULES = {
    "on the line of the quotes": 'rules = """a -> b : t\nc -> d"""\n',
    "on one line": "[[block]]\nrules = \"c -> d\"  # c\n[[block]]\nrules = 'a -> b : t'\n",
    "escaped": 'rules = "a -> b : t # \\"said\\"\\nc -> d"\n',
    "in one line of a table": 'block = [{ source = "", rules = "a -> b : t\\nc -> d" }]\n',
    "under quoted keys": '"rules" = """\na -> b : t\n\n# and\nc -> d"""\n',
}


@pytest.mark.parametrize("layout", RULES)
def test_rules_are_turned_round_wherever_toml_lets_them_stand(layout):
    """A plan has an inverse in every layout of its document, and lines are counted in all of them."""
    rules = RULES[layout]
    source = {"a": np.arange(6.0).reshape(2, 3), "c": np.ones(2)}
    plan = Plan.parse(HEAD + ("" if "block" in rules else "[[block]]\n") + rules)
    assert all(
        rule.text.split(" #")[0].split(" ")[0] in plan.text.split("\n")[rule.line - 1] for rule in plan.rules[:1]
    )
    there = {key: made.value for key, made in plan.check(source).made.items()}
    back = plan.invert(source)
    found = back.check(there)
    assert not found.problems
    assert {key: made.value.numpy().tolist() for key, made in found.made.items()} == {
        key: value.tolist() for key, value in source.items()
    }
    assert back.text.startswith(HEAD)
    assert [rule.text for rule in back.invert(there).rules] == [rule.text for rule in plan.rules]


@pytest.mark.parametrize(
    "sides",
    ['[source]\nschema = "sha256:a"\n[target]\nschema = "sha256:b"\n',
     'source.schema = "sha256:a"\ntarget.schema = "sha256:b"\n',
     'source = { schema = "sha256:a" }\n"target" = {schema="sha256:b"}\n'],
)  # fmt: skip
def test_the_sides_of_an_inverse_are_swapped(sides):
    """What was written of the source stands under the target, however TOML spells it; prefixes of blocks too."""
    from weightlift.mapping.document import turned_round

    block = (
        "[[block]]  # source = target\nsource = 'source = x.'\n  target = 'target.'\nrules = 'source.a -> target.b'\n"
    )
    plan = Plan.parse(turned_round(f"plan = 1\n{sides}{block}", str))
    assert plan.schemas == {"source": "sha256:b", "target": "sha256:a"}
    assert plan.rules[0].text == "source.a -> target.b"
    assert str(plan.rules[0].sources[0]) == "target.source.a"
    assert "# source = target\n" in plan.text


def test_a_dimension_named_like_a_side_has_no_inverse():
    """What cannot be told from a side of the plan is refused, not renamed."""
    plan = Plan.of("a -> b : reshape(source)", dims={"source": 6})
    with pytest.raises(PlanError, match="dims named source or target"):
        plan.invert({"a": np.arange(6.0)})


def test_a_tie_of_a_quoted_name_turns_round():
    """A name with quotes in it ends no reason where the inverse drops what was tied to it."""
    source = {'the "w"': np.arange(2.0)}
    plan = Plan.of('`the "w"` -> a\n`the "w"` => b : tie')
    back = plan.invert(source)
    assert list(back.state_dict(plan.state_dict(source))) == ['the "w"']
