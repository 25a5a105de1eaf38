"""`rule`: the page of a lint rule."""

from __future__ import annotations

from ..lints.rule import Rule
from ..lints.rule import rule as one_rule
from ..lints.table import RULES


def rule(code: str) -> Rule:
    """Return one rule by its code (`WL101`) or its name (`state-dict-of-a-load`); its `page` is Markdown.

    Raises:
        WeightliftError: There is no such rule; the nearest are named.
    """
    return one_rule(code)


def rules() -> list[Rule]:
    """Return every rule, in the order of their codes."""
    return [one_rule(code) for code in RULES]


def page_of(one: Rule) -> str:
    """Return the whole page of a rule: its title, its standing, and what its file says of it."""
    standing = [] if one.on_by_default else ["off by default"]
    fixes = {"safe": "fixed by `--fix`", "unsafe": "fixed by `--fix --unsafe-fixes`", None: "no fix"}[one.grade]
    _, _, body = one.page.partition("\n")
    summary = one.summary[:1].upper() + one.summary[1:]
    return f"# {one.code}: {one.name}\n\n{summary}. ({', '.join([fixes, *standing])})\n{body}"
