"""A rule line, parsed: `SOURCES -> TARGETS : op | op  !flag  optional  except PATTERN  "reason"`.

    embed.weight             -> wte.weight
    h.{i}.attn.{q,k,v}.{t}   -> blocks.{i}.qkv.{t} : cat(0)
    embed.weight             => lm_head.weight : tie
    pooler.**                -> drop "no pooler in the target"
    init                     -> adapter.** "new layers"

Errors point at the line and the column.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping

from ..errors import PatternError, PlanError, printable
from ..patterns import Pattern, pattern
from ..typed import Any, Literal
from ..values import dataclass, replace
from .ops import OPS, Call

Kind = Literal["map", "tie", "drop", "init"]
FLAGS = ("lossy", "partial", "overflow", "unsure")
_ARROW = re.compile(r"\s(->|=>)\s")
_TAIL = re.compile(r"""\s+(?:!(?P<flag>\w+)|(?P<optional>optional)|except\s+(?P<except>\S+)|"(?P<reason>[^"]*)")\s*$""")
_QUOTED = re.compile(r'`[^`]*`|"[^"]*"')
_SPACES = re.compile(r"\{[^{}]*\}|(?P<space>\s)")
_SLICE = re.compile(r"^(?P<name>.*?)\[(?P<spans>[\d:,\s-]*)\]$")

Span = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Term:
    """One side's pattern, and the part of the tensor that is meant: (start, stop) for each leading dimension."""

    pattern: Pattern
    spans: tuple[Span, ...] = ()

    def __str__(self) -> str:
        spans = ", ".join(f"{'' if a is None else a}:{'' if b is None else b}" for a, b in self.spans)
        return f"{self.pattern.text}[{spans}]" if self.spans else self.pattern.text


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a plan. `line` counts from 1 in the plan's text."""

    kind: Kind
    sources: tuple[Term, ...]
    targets: tuple[Term, ...]
    ops: tuple[Call, ...]
    line: int
    text: str
    sides: tuple[str, str] = ("", "")
    """What stands left and right of the arrow, without operations and without the prefix of the block."""
    reason: str = ""
    flags: frozenset[str] = frozenset()
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False
    rest: str = ""
    comment: str = ""
    """What follows the `#` at the end of the line: often why the rule is right."""

    def __str__(self) -> str:
        return self.text.strip()


def parse_rule(text: str, line: int, dims: Mapping[str, int], prefixes: tuple[str, str] = ("", "")) -> Rule | None:
    """Return the rule of a line, or None for a blank line or a comment.

    Raises:
        PatternError: the line means nothing; the message shows it with a caret.
    """
    bare = without_comment(text)
    if not bare.strip():
        return None
    try:
        comment = text[len(bare) :].strip().removeprefix("#").strip()
        return replace(_Parser(bare, line, dims, prefixes).rule(), comment=comment)
    except PatternError as error:
        column = max(1, error.column)
        caret = f"\n    {printable(bare)}\n    {' ' * (column - 1)}^"
        raise ShownError(error.found, error.expected, error.remedy, line, column, caret) from None


class ShownError(PatternError):
    """A rule that means nothing, with its line, its column and a caret under the place."""

    def __init__(self, found: str, expected: str, remedy: str, line: int, column: int, shown: str) -> None:
        super().__init__(found, expected=expected, remedy=remedy, where=f"line {line}, column {column}", column=column)
        self.line = line
        self.shown = shown

    def __str__(self) -> str:
        return super().__str__() + self.shown


def masked(text: str) -> str:
    """Return a line in which what is quoted, as a name or as a text, is blotted out: no mark there means anything."""
    return _QUOTED.sub(lambda found: f"{found[0][0]}{'_' * (len(found[0]) - 2)}{found[0][-1]}", text)


def without_comment(text: str) -> str:
    """Return a line up to its comment."""
    bare, _, _ = masked(text).partition("#")
    return text[: len(bare)].rstrip()


class _Parser:
    """One line. What is looked for is looked for where nothing is quoted, and taken from the text itself."""

    def __init__(self, text: str, line: int, dims: Mapping[str, int], prefixes: tuple[str, str]) -> None:
        self.text = text
        self.masked = masked(text)
        self.line = line
        self.dims = dims
        self.prefixes = prefixes

    def rule(self) -> Rule:
        end, flags, reason, optional, excepts = self._tail()
        found = _ARROW.search(self.masked, 0, end)
        if found is None:
            raise PatternError("a line without an arrow", expected="source -> target", column=1)
        colon = self.masked.find(" : ", found.end(), end)
        calls, tie, rest = self._ops(colon + 3, end) if colon >= 0 else ((), False, "")
        if "overflow" in flags:
            calls = tuple(replace(call, overflow=True) for call in calls)
        is_tie = found.group(1) == "=>"
        if is_tie != tie:
            raise PatternError("a tie", expected="`a => b : tie`, the arrow and the word", column=found.start() + 2)
        left, right = (0, found.start()), (found.end(), colon if colon >= 0 else end)
        sides = self.text[slice(*left)].strip(), self.text[slice(*right)].strip()
        kind: Kind = "drop" if sides[1] == "drop" else "init" if sides[0] == "init" else "tie" if tie else "map"
        sources = self._terms(*left, self.prefixes[0]) if kind != "init" else ()
        targets = self._terms(*right, self.prefixes[1]) if kind != "drop" else ()
        if kind in ("drop", "init"):
            self._check_bare(kind, colon, end, reason, (*sources, *targets), excepts)
        elif reason:
            raise PatternError(f'"{reason}" beside no drop or init', expected="a comment: # why", column=end + 1)
        if rest and not all(term.spans for term in targets):
            raise PatternError("rest=init of a whole target", expected="a part: name[start:stop]", column=colon + 4)
        return Rule(
            kind,
            sources,
            targets,
            calls,
            self.line,
            self.text,
            sides,
            reason,
            flags,
            excepts,
            optional,
            rest,
        )

    def _check_bare(
        self, kind: Kind, colon: int, end: int, reason: str, terms: tuple[Term, ...], excepts: tuple[Pattern, ...]
    ) -> None:
        """Refuse what means nothing beside drop or init: they are of whole tensors, and have a reason."""
        if not reason:
            raise PatternError(f"{kind} without a reason", expected=f'{kind} ... "why"', column=len(self.text) + 1)
        if colon >= 0:
            raise PatternError(f"operations beside {kind}", expected=f'{kind} ... "why"', column=colon + 2)
        if any(term.spans for term in terms):
            raise PatternError(f"a part of a tensor beside {kind}", expected="names alone", column=1)
        if kind == "init" and excepts:
            raise PatternError("except beside init", expected="the names of the target alone", column=end + 2)

    def _tail(self) -> tuple[int, frozenset[str], str, bool, tuple[Pattern, ...]]:
        """Return where flags, `optional`, `except ...` and the reason at the end begin, and what they say."""
        end, flags, reason, optional = len(self.text), set(), "", False
        excepts: list[Pattern] = []
        while found := _TAIL.search(self.masked, 0, end):
            said = {name: self.text[slice(*found.span(name))] for name in found.groupdict() if found[name] is not None}
            if flag := said.get("flag"):
                if flag not in FLAGS:
                    raise PatternError(
                        f"!{flag}", expected=f"one of {', '.join('!' + f for f in FLAGS)}", column=found.start("flag")
                    )
                flags.add(flag)
            elif "except" in said:
                excepts.append(self._pattern(said["except"], found.start("except"), self.prefixes[0]))
            elif "optional" in said:
                optional = True
            elif reason:
                raise PatternError("two reasons", expected="one", column=found.start("reason"))
            else:
                reason = said["reason"]
            end = found.start()
        return end, frozenset(flags), reason, optional, tuple(excepts)

    def _terms(self, start: int, stop: int, prefix: str) -> tuple[Term, ...]:
        terms = []
        for at, end in _outside_braces(self.masked, start, stop):
            spans: tuple[Span, ...] = ()
            name_end = end
            if found := _SLICE.match(self.masked[at:end]):
                name_end, spans = at + found.end("name"), self._spans(found["spans"], at + found.start("spans"))
            terms.append(Term(self._pattern(self.text[at:name_end], at, prefix), spans))
        return tuple(terms)

    def _pattern(self, text: str, at: int, prefix: str) -> Pattern:
        for found in _SPACES.finditer(self.masked, at, at + len(text)):
            if found["space"]:
                told = "` : ` before operations, and backticks around a name with spaces"
                raise PatternError(f"a space in {text!r}", expected=told, column=found.start() + 1)
        try:
            pattern(text)
            return pattern(prefix + text)
        except PatternError as error:
            error.column += at
            raise

    def _spans(self, text: str, at: int) -> tuple[Span, ...]:
        spans = []
        for found in re.finditer(r"[^,]+|(?<=,)(?=,|$)|^$", text):
            piece = found.group()
            low, colon, high = piece.strip().partition(":")
            if not colon or not all(not part or part.isdecimal() for part in (low, high)):
                column = at + found.start() + len(piece) - len(piece.lstrip()) + 1
                raise PatternError(f"[{text}]", expected="start:stop for each leading dimension", column=column)
            spans.append((int(low) if low else None, int(high) if high else None))
        return tuple(spans)

    def _ops(self, start: int, stop: int) -> tuple[tuple[Call, ...], bool, str]:
        """Return (calls, whether the rule is a tie, what becomes of the rest of a partial target)."""
        calls: list[Call] = []
        tie, rest = False, ""
        bars = [i for i in range(start, stop) if self.masked[i] == "|"]
        for at, end in _pieces(self.masked, start, stop, bars, "an operation"):
            piece = self.text[at:end]
            if piece == "tie":
                tie = True
            elif piece.startswith("rest="):
                rest = piece.removeprefix("rest=")
                if rest != "init":
                    raise PatternError(f"rest={rest}", expected="rest=init", column=at + 1)
            else:
                calls.append(self._call(piece, at))
        return tuple(calls), tie, rest

    def _call(self, text: str, at: int) -> Call:
        try:
            with warnings.catch_warnings(action="error"):  # Python warns of `1or 2`, which is no number
                node = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise PatternError(f"{text!r} is no operation", expected="name or name(arguments)", column=at + 1) from None
        fn = node.func if isinstance(node, ast.Call) else node
        if not isinstance(fn, ast.Name) or fn.id not in OPS:
            raise PatternError(f"{text!r}", expected=f"one of {', '.join(OPS)}, tie", column=at + 1)
        if not isinstance(node, ast.Call):
            return Call(fn.id, (), {}, at + 1)
        words = [word.arg for word in node.keywords]
        if None in words or len(set(words)) < len(words):
            raise PatternError(f"{text!r}", expected="each argument by one name", column=at + 1)
        args = tuple(self._value(arg, at) for arg in node.args)
        named = {word.arg: self._value(word.value, at) for word in node.keywords if word.arg}
        return Call(fn.id, args, named, at + 1)

    def _value(self, node: ast.expr, at: int) -> Any:
        """Numbers, names that `dims` gives, sums and products of those, lists, texts, and other names as texts."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
            return node.value
        if isinstance(node, ast.Name):
            return self.dims.get(node.id, node.id)
        if isinstance(node, ast.List):
            return [self._value(item, at) for item in node.elts]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._number(node.operand, at)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](self._number(node.left, at), self._number(node.right, at))
        raise PatternError(
            f"{ast.unparse(node)!r}", expected="a number, a name, a text or a list", column=at + node.col_offset + 1
        )

    def _number(self, node: ast.expr, at: int) -> Any:
        value = self._value(node, at)
        if isinstance(value, str) or not isinstance(value, int | float):
            raise PatternError(
                f"{ast.unparse(node)!r} is no number", expected="a number, or a name that dims gives",
                column=at + node.col_offset + 1,
            )  # fmt: skip
        return value


_ARITHMETIC: dict[type[ast.operator], Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
}


Piece = tuple[int, int]
"""Where a part of a line begins and ends."""


def _outside_braces(text: str, start: int, stop: int) -> list[Piece]:
    """Return the patterns between commas that are in no braces or brackets."""
    opened: list[int] = []
    commas = []
    for i in range(start, stop):
        letter = text[i]
        if letter in "{[":
            opened.append(i)
        elif letter in "}]":
            if not opened:
                raise PatternError("a brace without its partner", expected="{...} or [...]", column=i + 1)
            opened.pop()
        elif letter == "," and not opened:
            commas.append(i)
    if opened:
        raise PatternError("a brace without its partner", expected="{...} or [...]", column=opened[-1] + 1)
    return _pieces(text, start, stop, commas, "a pattern")


def _pieces(text: str, start: int, stop: int, marks: list[int], expected: str) -> list[Piece]:
    """Return what stands between marks, without the spaces around it."""
    pieces = []
    for low, high in zip((start, *(mark + 1 for mark in marks)), (*marks, stop), strict=True):
        piece = text[low:high]
        if not piece.strip():
            raise PatternError("an empty place", expected=expected, column=low + 1)
        at = low + len(piece) - len(piece.lstrip())
        pieces.append((at, at + len(piece.strip())))
    return pieces


__all__ = ["PlanError", "Rule", "ShownError", "Term", "parse_rule"]
