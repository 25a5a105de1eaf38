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
from collections.abc import Mapping

from ..errors import PatternError, PlanError
from ..patterns import Pattern, pattern
from ..typed import Any, Literal
from ..values import dataclass, replace
from .ops import OPS, Call

Kind = Literal["map", "tie", "drop", "init"]
FLAGS = ("lossy", "partial", "overflow", "unsure")
_ARROW = re.compile(r"\s(->|=>)\s")
_TAIL = re.compile(r"""\s+(?:!(?P<flag>\w+)|(?P<optional>optional)|except\s+(?P<except>\S+)|"(?P<reason>[^"]*)")\s*$""")
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
    reason: str = ""
    flags: frozenset[str] = frozenset()
    excepts: tuple[Pattern, ...] = ()
    optional: bool = False
    rest: str = ""

    def __str__(self) -> str:
        return self.text.strip()


def parse_rule(text: str, line: int, dims: Mapping[str, int], prefixes: tuple[str, str] = ("", "")) -> Rule | None:
    """Return the rule of a line, or None for a blank line or a comment.

    Raises:
        PatternError: the line means nothing; the message shows it with a caret.
    """
    bare = _without_comment(text)
    if not bare.strip():
        return None
    try:
        return _Parser(bare, line, dims, prefixes).rule()
    except PatternError as error:
        column = max(1, error.column)
        caret = f"\n    {bare}\n    {' ' * (column - 1)}^"
        raise ShownError(error.found, error.expected, error.remedy, line, column, caret) from None


class ShownError(PatternError):
    """A rule that means nothing, with its line, its column and a caret under the place."""

    def __init__(self, found: str, expected: str, remedy: str, line: int, column: int, shown: str) -> None:
        super().__init__(found, expected=expected, remedy=remedy, where=f"line {line}, column {column}", column=column)
        self.line = line
        self.shown = shown

    def __str__(self) -> str:
        return super().__str__() + self.shown


def _without_comment(text: str) -> str:
    quoted = False
    for i, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif letter == "#" and not quoted:
            return text[:i].rstrip()
    return text.rstrip()


class _Parser:
    def __init__(self, text: str, line: int, dims: Mapping[str, int], prefixes: tuple[str, str]) -> None:
        self.text = text
        self.line = line
        self.dims = dims
        self.prefixes = prefixes

    def rule(self) -> Rule:
        body, flags, reason, optional, excepts = self._tail()
        found = _ARROW.search(body)
        if found is None:
            raise PatternError("a line without an arrow", expected="source -> target", column=1)
        left, right = body[: found.start()], body[found.end() :]
        at = found.end()
        targets, colon, ops_text = right.partition(" : ")
        calls, tie, rest = self._ops(ops_text, at + len(targets) + 3) if colon else ((), False, "")
        if "overflow" in flags:
            calls = tuple(replace(call, overflow=True) for call in calls)
        is_tie = found.group(1) == "=>"
        if is_tie != tie:
            raise PatternError("a tie", expected="`a => b : tie`, the arrow and the word", column=found.start() + 2)
        if targets.strip() == "drop" or left.strip() == "init":
            return self._drop_or_init(left, targets, at, flags, reason, optional, excepts)
        return Rule(
            "tie" if tie else "map",
            self._terms(left, 0, self.prefixes[0]),
            self._terms(targets, at, self.prefixes[1]),
            calls,
            self.line,
            self.text,
            reason,
            flags,
            excepts,
            optional,
            rest,
        )

    def _drop_or_init(
        self,
        left: str,
        right: str,
        at: int,
        flags: frozenset[str],
        reason: str,
        optional: bool,  # noqa: FBT001 - a field of the line
        excepts: tuple[Pattern, ...],
    ) -> Rule:
        drops = right.strip() == "drop"
        if not reason:
            word = "drop" if drops else "init"
            raise PatternError(f"{word} without a reason", expected=f'{word} ... "why"', column=len(self.text) + 1)
        sources = self._terms(left, 0, self.prefixes[0]) if drops else ()
        targets = () if drops else self._terms(right, at, self.prefixes[1])
        kind: Kind = "drop" if drops else "init"
        return Rule(kind, sources, targets, (), self.line, self.text, reason, flags, excepts, optional)

    def _tail(self) -> tuple[str, frozenset[str], str, bool, tuple[Pattern, ...]]:
        """Take flags, `optional`, `except ...` and the reason off the end."""
        body, flags, reason, optional = self.text, set(), "", False
        excepts: list[Pattern] = []
        while found := _TAIL.search(body):
            if flag := found.group("flag"):
                if flag not in FLAGS:
                    raise PatternError(
                        f"!{flag}", expected=f"one of {', '.join('!' + f for f in FLAGS)}", column=found.start("flag")
                    )
                flags.add(flag)
            elif found.group("except"):
                excepts.append(self._pattern(found.group("except"), found.start("except"), self.prefixes[0]))
            elif found.group("optional"):
                optional = True
            elif found.group("reason") is not None:
                reason = found.group("reason")
            body = body[: found.start()]
        return body, frozenset(flags), reason, optional, tuple(excepts)

    def _terms(self, text: str, at: int, prefix: str) -> tuple[Term, ...]:
        terms = []
        for piece, start in _outside_braces(text, at):
            spans: tuple[Span, ...] = ()
            name = piece
            if found := _SLICE.match(piece):
                name, spans = found.group("name"), self._spans(found.group("spans"), start + found.start("spans"))
            terms.append(Term(self._pattern(name, start, prefix), spans))
        return tuple(terms)

    def _pattern(self, text: str, at: int, prefix: str) -> Pattern:
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

    def _ops(self, text: str, at: int) -> tuple[tuple[Call, ...], bool, str]:
        """Return (calls, whether the rule is a tie, what becomes of the rest of a partial target)."""
        calls: list[Call] = []
        tie, rest = False, ""
        for piece, start in _outside_quotes(text, at, "|"):
            if piece == "tie":
                tie = True
            elif piece.startswith("rest="):
                rest = piece.removeprefix("rest=")
                if rest != "init":
                    raise PatternError(f"rest={rest}", expected="rest=init", column=start + 1)
            else:
                calls.append(self._call(piece, start))
        return tuple(calls), tie, rest

    def _call(self, text: str, at: int) -> Call:
        try:
            node = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise PatternError(f"{text!r} is no operation", expected="name or name(arguments)", column=at + 1) from None
        fn = node.func if isinstance(node, ast.Call) else node
        if not isinstance(fn, ast.Name) or fn.id not in OPS:
            raise PatternError(f"{text!r}", expected=f"one of {', '.join(OPS)}, tie", column=at + 1)
        if not isinstance(node, ast.Call):
            return Call(fn.id, (), {}, at + 1)
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


def _outside_braces(text: str, at: int) -> list[tuple[str, int]]:
    """Split at commas that are in no braces or brackets; return (piece, column from 0)."""
    pieces, depth, start = [], 0, 0
    opened: list[int] = []
    for i, letter in enumerate(text + ","):
        depth += (letter in "{[") - (letter in "}]")
        if letter in "{[":
            opened.append(i)
        elif letter in "}]":
            if not opened:
                raise PatternError("a brace without its partner", expected="{...} or [...]", column=at + i + 1)
            opened.pop()
        if letter == "," and depth == 0:
            piece = text[start:i]
            if not piece.strip():
                raise PatternError("an empty place", expected="a pattern", column=at + start + 1)
            pieces.append((piece.strip(), at + start + len(piece) - len(piece.lstrip())))
            start = i + 1
    if opened:
        raise PatternError("a brace without its partner", expected="{...} or [...]", column=at + opened[-1] + 1)
    return pieces


def _outside_quotes(text: str, at: int, mark: str) -> list[tuple[str, int]]:
    pieces, quoted, start = [], False, 0
    for i, letter in enumerate(text + mark):
        quoted ^= letter == '"'
        if letter == mark and not quoted:
            piece = text[start:i]
            if not piece.strip():
                raise PatternError("an empty place", expected="an operation", column=at + start + 1)
            pieces.append((piece.strip(), at + start + len(piece) - len(piece.lstrip())))
            start = i + 1
    return pieces


__all__ = ["PlanError", "Rule", "ShownError", "Term", "parse_rule"]
