"""Patterns over names: anchored at segments, so that `layers.1` never means `layers.10`.

| in a pattern | fits | and is called |
|---|---|---|
| `{i}`, `{2*i+1}` | an integer; one letter other than `t`, or `{name:int}` | by its letter |
| `{t}`, `{name}` | one segment, or the rest of one | by its name |
| `{a,b,c}` | one of these, in this order | by its place among the enumerations |
| `**` | any number of whole segments | `**`, a second one `**1` |
| `*` | any part of one segment; for choosing only | |
| `` `my {head}` `` | what is between the backticks; `%0A` there is a byte of UTF-8, as in URLs | |

The same values in another pattern spell another name: that is what a rule does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from .errors import PatternError
from .values import dataclass

Value = int | str
Binding = dict[str, Value]
"""Name -> what it stands for: an integer, a text, or for an enumeration (`#0`, `#1` ...) the place in it."""

TAIL = "**"
_INTEGER = r"0|[1-9][0-9]{0,17}"
_HOLE = re.compile(r"`(?P<quoted>[^`]*)`|\{(?P<inside>[^{}]*)\}|\*\*|\*")
_PLAIN = re.compile(r"[\w/+-]+(?::[\w/+-]+)*")
_WORDS = frozenset({"init", "drop", "optional", "except"})
_BYTES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_NUMBER = re.compile(r"(?<![^.])[0-9]+(?![^.])")
_AFFINE = re.compile(r"(?:(\d+)\s*\*\s*)?([A-Za-z_]\w*)(?:\s*([+-])\s*(\d+))?(?:\s*:\s*(int|text))?")


@dataclass(frozen=True, slots=True)
class Hole:
    """A named part of a pattern. An integer hole stands for `scale * value + shift`."""

    name: str
    kind: str
    scale: int = 1
    shift: int = 0
    choices: tuple[str, ...] = ()


Part = str | Hole


class Pattern:
    """A pattern, parsed: fits names and spells them."""

    __slots__ = ("_regex", "_skeleton", "parts", "text")

    def __init__(self, text: str) -> None:
        """Raises PatternError, with the column, for a pattern that means nothing."""
        self.text = text
        self.parts = tuple(_parse(text))
        self._regex: re.Pattern[str] | None = None
        self._skeleton: re.Pattern[str] | None = None

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The named parts in order."""
        return tuple(part for part in self.parts if isinstance(part, Hole))

    @property
    def enumerations(self) -> tuple[Hole, ...]:
        """The enumerations in order."""
        return tuple(hole for hole in self.holes if hole.kind == "enum")

    @property
    def names(self) -> frozenset[str]:
        """What the pattern binds: names of holes, enumerations apart."""
        return frozenset(hole.name for hole in self.holes if hole.kind not in ("enum", "any"))

    def match(self, key: str) -> Binding | None:
        """Return what the holes stand for in a whole key, or None where it does not fit."""
        if self._regex is None:
            self._regex = re.compile(_regex(self.parts))
        found = self._regex.fullmatch("." + key)
        if found is None:
            return None
        out: Binding = {}
        for hole, text in zip(self.holes, found.groups(), strict=True):
            value = _value(hole, text)
            if value is None or out.setdefault(hole.name, value) != value:
                return None
        return out

    def may_match(self, skeleton: str) -> bool:
        """Whether any name with this skeleton (see `skeleton_of`) could fit."""
        if self._skeleton is None:
            self._skeleton = re.compile(_skeleton_regex(self.parts))
        return self._skeleton.fullmatch("." + skeleton) is not None

    def spell(self, values: Mapping[str, Value]) -> str:
        """Return the name that the values make.

        Raises:
            PatternError: a hole without a value, or a negative number.
        """
        out = ""
        for part in self.parts:
            if isinstance(part, str):
                out += part
                continue
            if part.name not in values:
                raise PatternError(f"{{{part.name}}} has no value in {self.text!r}", expected="it on both sides")
            out += _spelled(part, values[part.name])
        return out.removeprefix(".")

    def prefixed(self, prefix: str) -> Pattern:
        """Return the pattern for names under a prefix."""
        return Pattern(f"{prefix}{self.text}") if prefix else self

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


@cache
def pattern(text: str) -> Pattern:
    """Return the pattern of a text, parsed once."""
    return Pattern(text)


def as_pattern(name: str) -> str:
    """Return the pattern that fits a name and no other: segments that could be read as something else are quoted.

    >>> as_pattern("blocks.0.my head (x{1}).w")
    'blocks.0.`my head (x{1})`.w'
    """
    return ".".join(segment if _is_plain(segment) else f"`{_escaped(segment)}`" for segment in name.split("."))


def _is_plain(segment: str) -> bool:
    return _PLAIN.fullmatch(segment) is not None and segment not in _WORDS


def _escaped(segment: str) -> str:
    """What may stand between backticks, also where a `"` would end a reason or a newline the rule."""
    return "".join(
        c
        if c.isprintable() and c not in '`%"'
        else "".join(f"%{byte:02X}" for byte in c.encode("utf-8", "surrogatepass"))
        for c in segment
    )


def _unescaped(quoted: str, column: int) -> str:
    try:
        if "%" in _BYTES.sub("", quoted):
            raise ValueError
        return _BYTES.sub(lambda found: _decoded(found[0]), quoted)
    except ValueError:
        told = "bytes of UTF-8 as %0A, also %25 for a % and %60 for a backtick"
        raise PatternError(f"`{quoted}`", expected=told, column=column) from None


def _decoded(escapes: str) -> str:
    return bytes.fromhex(escapes.replace("%", "")).decode("utf-8", "surrogatepass")


class Names:
    """Names in order, to be searched by many patterns: those of one skeleton are ruled out together."""

    def __init__(self, names: Iterable[str]) -> None:
        self._groups: dict[str, list[tuple[int, str]]] = {}
        for place, name in enumerate(names):
            self._groups.setdefault(skeleton_of(name), []).append((place, name))

    def matching(self, wanted: Pattern) -> list[tuple[str, Binding]]:
        """Return the names that fit, in order, each with what the holes stand for."""
        groups = [group for skeleton, group in self._groups.items() if wanted.may_match(skeleton)]
        names = groups[0] if len(groups) == 1 else sorted(place for group in groups for place in group)
        match = wanted.match
        return [(name, binding) for _, name in names if (binding := match(name)) is not None]


def skeleton_of(name: str) -> str:
    """Return a name with `#` for every segment that is a number: blocks that repeat have the same."""
    return _NUMBER.sub("#", name)


def _parse(text: str) -> list[Part]:
    if not text or text != text.strip():
        raise PatternError(f"pattern {text!r} is empty or has spaces around it", column=1)
    parts: list[Part] = []
    literal, at, enums, tails = ".", 0, 0, 0
    for found in _HOLE.finditer(text):
        literal += _unquoted(text, at, found.start())
        quoted, inside, at = found["quoted"], found["inside"], found.end()
        if quoted is not None:
            literal += _unescaped(quoted, found.start() + 1)
            continue
        parts.append(literal)
        literal = ""
        if inside is None:
            parts.append(
                Hole(f"{TAIL}{tails or ''}", "tail") if found.group() == TAIL else Hole(f"*{found.start()}", "any")
            )
            tails += found.group() == TAIL
        elif "," in inside or ".." in inside:
            parts.append(Hole(f"#{enums}", "enum", choices=_choices(inside, found.start() + 1)))
            enums += 1
        else:
            parts.append(_named(inside, found.start() + 1))
    parts.append(literal + _unquoted(text, at, len(text)))
    return _tails([part for part in parts if part != ""])


def _unquoted(text: str, start: int, stop: int) -> str:
    """Return what stands between holes, which may hold no part of one."""
    piece = text[start:stop]
    for mark, told in (("{", "brace"), ("}", "brace"), ("`", "backtick")):
        if mark in piece:
            raise PatternError(f"a lone {told} in {text!r}", column=start + piece.index(mark) + 1)
    return piece


def _tails(parts: list[Part]) -> list[Part]:
    """Let a tail own the dot before it, so that it can be empty."""
    out: list[Part] = []
    for i, part in enumerate(parts):
        if isinstance(part, Hole) and part.kind == "tail":
            before, after = out[-1] if out else ".", parts[i + 1] if i + 1 < len(parts) else "."
            if not (isinstance(before, str) and before.endswith(".")) or not (
                isinstance(after, str) and after[0] == "."
            ):
                raise PatternError(
                    "** beside something else in its segment", expected="** as a whole segment", column=1
                )
            out[-1] = before[:-1]
        out.append(part)
    return [part for part in out if part != ""]


def _choices(inside: str, column: int) -> tuple[str, ...]:
    if "`" in inside:
        raise PatternError(f"a backtick in {{{inside}}}", expected="plain choices, or a rule for each", column=column)
    out: list[str] = []
    for piece in inside.split(","):
        low, dots, high = piece.strip().partition("..")
        if dots and low.isdecimal() and high.isdecimal():
            out += map(str, range(int(low), int(high) + 1))
        else:
            out.append(piece.strip())
    return tuple(out)


def _named(inside: str, column: int) -> Hole:
    found = _AFFINE.fullmatch(inside.strip())
    if found is None:
        raise PatternError(f"{{{inside}}} is no hole", expected="{i}, {2*i+1}, {t}, {name:int} or {a,b}", column=column)
    scale, name, sign, shift, kind = found.groups()
    is_integer = kind == "int" or bool(scale or shift) or (kind is None and len(name) == 1 and name != "t")
    if not is_integer:
        return Hole(name, "text")
    if scale is not None and int(scale) == 0:
        raise PatternError(f"{{{inside}}} is always the same number", expected="a factor of 1 or more", column=column)
    return Hole(name, "int", int(scale or 1), int(f"{sign}{shift}") if shift else 0)


def _regex(parts: tuple[Part, ...]) -> str:
    out = ""
    for part in parts:
        if isinstance(part, str):
            out += re.escape(part)
        elif part.kind == "int":
            out += f"({_INTEGER})"
        elif part.kind == "enum":
            out += f"({'|'.join(map(re.escape, sorted(part.choices, key=len, reverse=True)))})"
        elif part.kind == "tail":
            out += r"((?:\.[^.]*)*)"
        else:
            out += "([^.]*)" if part.kind == "any" else "([^.]+)"
    return out


def _skeleton_regex(parts: tuple[Part, ...]) -> str:
    """The regex of the skeletons that names which fit have: strict about segments without holes, lax about others."""
    marked = "".join(
        part.translate(_UNMARKED) if isinstance(part, str) else _MARKS.get(part.kind, _HOLED) for part in parts
    )
    out = []
    for segment in marked.split("."):
        first, *tails = segment.split(_TAILED)  # a tail owns the dot before it, so it ends a segment
        lax = "[^.]*" if _HOLED in first else re.escape(skeleton_of(first))
        lax = ".*" if _ENUM in first else lax  # a choice may have dots
        out.append(lax + r"(?:\.[^.]*)*" * len(tails))
    return r"\.".join(out)


_HOLED, _TAILED, _ENUM = "\0", "\1", "\2"
_MARKS = {"tail": _TAILED, "enum": _ENUM}
_UNMARKED = str.maketrans(dict.fromkeys((_TAILED, _ENUM), _HOLED))
"""A name with such a character is searched laxly."""


def _value(hole: Hole, text: str) -> Value | None:
    if hole.kind == "enum":
        return hole.choices.index(text)
    if hole.kind != "int":
        return text
    value, rest = divmod(int(text) - hole.shift, hole.scale)
    return value if rest == 0 and value >= 0 else None


def _spelled(hole: Hole, value: Value) -> str:
    if hole.kind == "enum":
        return hole.choices[int(value)]
    if hole.kind != "int":
        return str(value)
    number = hole.scale * int(value) + hole.shift
    if number < 0:
        raise PatternError(f"{{{hole.name}}} = {value} gives the number {number}", expected="0 or more")
    return str(number)
