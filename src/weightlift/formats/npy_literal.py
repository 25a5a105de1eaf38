"""The Python literal in a `.npy` header, read by its own grammar: what `ast` would do compiles bytes of the file.

Texts are taken as they stand between their quotes: no name of an element type has an escape in it.
"""

from __future__ import annotations

import re

from ..errors import ContainerError
from ..typed import Any

_TOKEN = re.compile(r"""\s*(?:(?P<text>[bu]?'(?:\\.|[^'\\\n])*'|[bu]?"(?:\\.|[^"\\\n])*")
    |(?P<int>-?[0-9]{1,40})L?(?![\w.])
    |(?P<name>True|False|None)(?!\w)|(?P<mark>[][(){},:]))""", re.VERBOSE | re.ASCII)  # fmt: skip
_NAMED = {"True": True, "False": False, "None": None}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_DEEPEST = 32


def read_literal(text: str) -> Any:
    """Return the tuples, lists, dicts, texts, integers and truth values that a literal spells.

    Raises:
        ContainerError: it spells anything else, or nests deeper than any element type does.
    """
    reader = _Reader(text.strip())
    value = reader.value(0)
    if reader.at != len(reader.text):
        raise reader.wrong()
    return value


class _Reader:
    """A place in the text, and what stands there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def wrong(self) -> ContainerError:
        return ContainerError(f"the .npy header is no Python literal at character {self.at}")

    def value(self, depth: int) -> Any:
        """Return the value that begins here."""
        token = self._take()
        if text := token["text"]:
            return text[text.index(text[-1]) + 1 : -1]
        if digits := token["int"]:
            return int(digits)
        if name := token["name"]:
            return _NAMED[name]
        if token["mark"] not in _CLOSING or depth > _DEEPEST:
            raise self.wrong()
        return self._pairs(depth) if token["mark"] == "{" else self._items(token["mark"], depth)

    def _items(self, opening: str, depth: int) -> Any:
        items: list[Any] = []
        closing, after_comma = _CLOSING[opening], True
        while not self._has(closing):
            if not after_comma:
                raise self.wrong()
            items.append(self.value(depth + 1))
            after_comma = self._has(",")
        if opening == "[":
            return items
        return items[0] if len(items) == 1 and not after_comma else tuple(items)

    def _pairs(self, depth: int) -> dict[Any, Any]:
        pairs: dict[Any, Any] = {}
        after_comma = True
        while not self._has("}"):
            key = self.value(depth + 1)
            if not after_comma or not isinstance(key, str) or key in pairs or not self._has(":"):
                raise self.wrong()
            pairs[key] = self.value(depth + 1)
            after_comma = self._has(",")
        return pairs

    def _take(self) -> re.Match[str]:
        found = _TOKEN.match(self.text, self.at)
        if found is None:
            raise self.wrong()
        self.at = found.end()
        return found

    def _has(self, mark: str) -> bool:
        """Whether this mark comes next; if so, it is passed."""
        found = _TOKEN.match(self.text, self.at)
        if found is None or found["mark"] != mark:
            return False
        self.at = found.end()
        return True
