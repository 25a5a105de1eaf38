"""Which rules a file can concern, from its bytes alone: most files of a project are never decoded or parsed.

A search for one word runs at the speed of memory, so that every word is looked for on its own, once a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .rule import Rule

IGNORE_FILE = b"weightlift: ignore-file"


def prefilter(rules: Sequence[Rule]) -> Callable[[bytes], list[Rule]]:
    """Return the function from a file's bytes to those of the rules that it can concern."""
    every_word = sorted({word for rule in rules for word in (*rule.words, *rule.every)})
    needs = [(rule, frozenset(rule.words), frozenset(rule.every)) for rule in rules]

    def concerned(data: bytes) -> list[Rule]:
        present = {word for word in every_word if word in data}
        if not present:
            return []
        return [rule for rule, words, every in needs if not present.isdisjoint(words) and every <= present]

    return concerned
