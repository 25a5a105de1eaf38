"""The text of a plan: where its rules and its sides stand, so that they can be replaced and the rest stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

BASIC, LITERAL = '"' * 3, "'" * 3
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_STRING = r"""\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
_TOKENS = re.compile(
    rf"""
    \#[^\n]*                                                                 # a comment
    | (?<![\w-])(?P<mark>["']?)rules(?P=mark)[ \t]*=[ \t]*(?P<rules>{_STRING})
    | (?<![\w-])(?P<quote>["']?)(?P<side>source|target)(?P=quote)(?=[ \t]*[=.\]])
    | {_STRING}
    """,
    re.VERBOSE | re.DOTALL,
)
_OTHER = {"source": "target", "target": "source"}


def quoted(rules: str) -> str:
    """Return rule lines as a TOML string that gives them back as they are: plain or literal where that can be."""
    odd = _CONTROL.search(rules) is not None
    for quotes, special in ((BASIC, (BASIC, "\\")), (LITERAL, (LITERAL,))):
        if not odd and not any(text in rules for text in special):
            return f"{quotes}\n{rules}\n{quotes}"
    plain = rules.replace("\\", "\\\\").replace('"', '\\"')
    escaped = _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", plain)
    return f"{BASIC}\n{escaped}\n{BASIC}"


def first_lines(text: str) -> list[int]:
    """Return the number of the first rule line of each block; TOML leaves out a newline right after three quotes."""
    starts = [(found.start("rules"), found["rules"]) for found in _TOKENS.finditer(text) if found["rules"]]
    return [text.count("\n", 0, at) + (2 if rules[:4] in (f"{BASIC}\n", f"{LITERAL}\n") else 1) for at, rules in starts]


def turned_round(text: str, turned: Callable[[str], str]) -> str:
    """Return a plan's text with each line of its rules replaced, and its sides swapped; all else stays."""
    return _replaced(text, turned, _OTHER)


def each_line(text: str, change: Callable[[str], str]) -> str:
    """Return a plan's text with each line of its rules replaced; all else stays."""
    return _replaced(text, change, {side: side for side in _OTHER})


def _replaced(text: str, change: Callable[[str], str], sides: Mapping[str, str]) -> str:
    import tomllib

    def replaced(found: re.Match[str]) -> str:
        if found["rules"]:
            lines = tomllib.loads(f"rules = {found['rules']}")["rules"].removesuffix("\n").split("\n")
            return text[found.start() : found.start("rules")] + quoted("\n".join(map(change, lines)))
        return found[0].replace(found["side"], sides[found["side"]]) if found["side"] else found[0]

    return _TOKENS.sub(replaced, text)
