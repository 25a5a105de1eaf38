"""Every rule against its fixtures."""

from __future__ import annotations

import pytest

from weightlift.lints.fixing import choose
from weightlift.lints.prefilter import prefilter
from weightlift.lints.rule import rule
from weightlift.lints.table import RULES

from lint_fixtures import FIXTURES, expected_lines, findings, fixed, fixtures, name

every_rule = pytest.mark.parametrize("code", RULES)


@pytest.mark.parametrize("path", fixtures("bad"), ids=name)
def test_what_is_bad_is_found(path):
    """A rule finds something on the lines that are marked with its code, and on no other."""
    assert [found.line for found in findings(path)] == expected_lines(path)
    assert expected_lines(path)


@pytest.mark.parametrize("path", fixtures("good"), ids=name)
def test_what_is_good_is_left_alone(path):
    """A rule finds nothing in code that only looks like its pattern."""
    assert findings(path) == []


@pytest.mark.parametrize("path", fixtures("fixed"), ids=name)
def test_fixes_give_what_is_written_down(path):
    """The fixes of a rule turn the bad file into the fixed one, to the byte, and find nothing more to fix in it."""
    bad = path.with_name(path.name.replace("fixed_", "bad_"))
    assert fixed(bad).decode() == path.read_text(encoding="utf-8")
    assert choose(findings(bad, path.read_bytes()), unsafe=True) == []


@pytest.mark.parametrize("path", fixtures("bad"), ids=name)
def test_the_words_of_a_rule_are_in_what_it_finds(path):
    """No file that a rule finds something in is passed over before it is parsed."""
    one = rule(path.parent.name)
    assert prefilter([one])(path.read_bytes()) == [one]


@every_rule
def test_every_rule_has_fixtures(code):
    """A rule has bad and good fixtures, and a fixed one exactly where it has a grade of fixes."""
    kinds = {path.name.partition("_")[0] for path in (FIXTURES / code).glob("*.py")}
    assert kinds == {"bad", "good"} | ({"fixed"} if rule(code).grade else set())


@every_rule
def test_every_rule_has_a_page(code):
    """The page of a rule says what it finds, why that is bad, with an example and what to use instead."""
    one = rule(code)
    assert one.name.replace("-", "_") == RULES[code]
    assert one.summary
    for title in ("What it does", "Why is this bad", "Example", "Use instead"):
        assert f"\n## {title}\n" in one.page
    assert ("\n## Fix\n" in one.page) == (one.grade is not None)
    assert one.grade in (None, "safe", "unsafe")
