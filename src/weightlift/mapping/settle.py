"""Rule lines reworded: another source side, or settled by a proof."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .document import each_line
from .rules import Rule, Term, masked, parse_rule, without_comment

PROVEN = "proven(forward)"
_UNSURE = re.compile(r"\s+!unsure\b")


def reworded(rule: Rule, left: str, dims: Mapping[str, int]) -> Rule:
    """Return a rule with another source side, told as it stands in the line.

    Raises:
        PatternError: it means nothing there.
    """
    prefixes = (prefix_of(rule.sources, rule.sides[0]), prefix_of(rule.targets, rule.sides[1]))
    made = parse_rule(_with_left(rule.text, rule.sides[0], left), rule.line, dims, prefixes)
    return made or rule


def prefix_of(terms: tuple[Term, ...], side: str) -> str:
    """What the block of a rule puts in front of a side."""
    text = terms[0].pattern.text if terms else ""
    return next((text[:i] for i in range(len(text)) if side.startswith(text[i:])), "")


def _with_left(line: str, old: str, new: str) -> str:
    indent = len(line) - len(line.lstrip())
    rest = line[indent + len(old) :]
    arrow = rest.lstrip()
    width = len(old) + len(rest) - len(arrow) - 1  # so that arrows stay below each other
    return f"{line[:indent]}{new.ljust(width)} {arrow}"


def settled(text: str, rules: tuple[Rule, ...], lefts: Mapping[int, str], lines: set[int]) -> str:
    """Return a plan's text with the source sides of `lefts`, by line, and the `lines` settled; all else stays."""
    waiting = iter(rules)

    def change(line: str) -> str:
        if not without_comment(line).strip():
            return line
        rule = next(waiting)
        if rule.line in lefts:
            line = _with_left(line, rule.sides[0], lefts[rule.line])
        return _proven(line) if rule.line in lines else line

    return each_line(text, change)


def _proven(line: str) -> str:
    bare = without_comment(line)
    comment = line[len(bare) :].strip().removeprefix("#").strip()
    hidden = masked(bare)
    for found in reversed(list(_UNSURE.finditer(hidden))):
        bare = bare[: found.start()] + bare[found.end() :]
    return f"{bare.rstrip()}  # {PROVEN}{f', {comment}' if comment else ''}"
