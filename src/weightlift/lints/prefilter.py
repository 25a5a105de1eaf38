"""Which rules a file can concern, from its bytes alone: most files of a project are never decoded or parsed.

A search for one word runs at the speed of memory, so that each word is looked for on its own, at most once a file, and
only while a rule may still depend on it. Regexps, fifty times as slow, are for the few files that have the words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ..typed import TypeAlias
from .rule import Rule

IGNORE_FILE = b"weightlift: ignore-file"

Requirement: TypeAlias = "tuple[tuple[bytes, ...], bytes | None]"
"""One of these words has to be in the code of the file, or what the regexp matches in it."""


def prefilter(rules: Sequence[Rule]) -> Callable[[bytes], list[Rule]]:
    """Return the function from a file's bytes to those of the rules that it can concern."""
    needs = [(rule, _requirements(rule)) for rule in rules]
    every = {word for _, requirements in needs for words, _ in requirements for word in words}
    every |= {part.encode() for rule in rules for name in rule.calls for part in name.split(".")}
    within = {word: [part for part in every if part in word and part != word] for word in every}
    by_first: dict[Requirement, list[tuple[int, Rule, list[Requirement]]]] = {}
    for number, (rule, (first, *others)) in enumerate(needs):
        by_first.setdefault(first, []).append((number, rule, others))
    groups = list(by_first.items())

    def concerned(data: bytes) -> list[Rule]:
        text = _Text(data, within)
        passed = [
            each for first, members in groups if text.meets(first) for each in members if all(map(text.meets, each[2]))
        ]
        return [rule for _, rule, _ in sorted(passed, key=lambda each: each[0])] if passed else []

    return concerned


class _Text:
    """The bytes of a file, and what has been looked for in them. `within` are the words that a word has in it."""

    __slots__ = ("_data", "_known", "_within")

    def __init__(self, data: bytes, within: dict[bytes, list[bytes]]) -> None:
        self._data = data
        self._within = within
        self._known: dict[bytes | Requirement, bool] = {}

    def meets(self, requirement: Requirement) -> bool:
        known = self._known
        if requirement not in known:
            words, regexp = requirement
            known[requirement] = any(map(self._has, words)) or (
                regexp is not None and re.search(regexp, self._data) is not None
            )
        return known[requirement]

    def _has(self, word: bytes) -> bool:
        known = self._known
        if word not in known:
            known[word] = (
                all(map(self._has, self._within[word])) and word in self._data and _is_in_code(word, self._data)
            )
        return known[word]


def calling(names: Iterable[str]) -> Requirement:
    """Return what is in each file that may call one of these functions, under whatever name.

    For `torch.load` that is `torch.load` itself, `torch as th`, `= torch` and `from torch import load as read`.
    """
    parts = [name.encode().split(b".") for name in names]
    homes = sorted({each[-2] for each in parts} | {each[0] for each in parts})
    words = {b".".join(each[-2:]) for each in parts} | {home + b" as " for home in homes}
    words |= {b"= " + home + end for home in homes for end in (b"\n", b"\r")}
    roots = b"|".join(sorted({each[0] for each in parts}))
    last = b"|".join(sorted({each[-1] for each in parts}))
    listed = rb"(?:\s*\([^)]*|(?:[^\n\\]|\\\r?\n)*)"
    return _shortest(words), rb"from (?:" + roots + rb")[\w.]* import" + listed + rb"\b(?:" + last + rb")\b"


def _requirements(rule: Rule) -> list[Requirement]:
    """Return what a file has to have in it for a rule, the cheapest first."""
    needed: list[Requirement] = []
    if rule.calls:
        named = [name.encode().split(b".") for name in rule.calls]
        last = _shortest({each[-1] for each in named})
        written = {b".".join(each[-2:]) for each in named} | {word + end for word in last for end in (b"(", b" as ")}
        needed = [(last, None), (_shortest(written), None), calling(rule.calls)]
    words = [(rule.words, None)] if rule.words else []
    needed = [*[((word,), None) for word in rule.every], *needed, *words]
    return needed + ([((), rule.pattern)] if rule.pattern else [])


def _shortest(words: set[bytes]) -> tuple[bytes, ...]:
    """Return those of some words that have none of the others in them: whatever has one of all has one of these."""
    return tuple(sorted(word for word in words if not any(other in word for other in words if other != word)))


def _is_in_code(word: bytes, data: bytes) -> bool:
    """Whether a word that is in a file stands in it elsewhere than in comments on lines of their own and doctests."""
    at = data.find(word)
    while at >= 0:
        before = data[data.rfind(b"\n", 0, at) + 1 : at]
        if not before.lstrip().startswith((b"#", b">>>")) or b"\r" in before:
            return True
        at = data.find(word, at + 1)
    return False
