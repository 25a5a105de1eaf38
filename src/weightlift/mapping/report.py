"""What happened to every tensor, as data: one entry for each, on both sides."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..tensors.computed import Lazy
from ..typed import Any, Literal
from ..values import dataclass
from .resolve import Made, Resolution, Schema

_NUMBER = re.compile(r"(?<![^.\s])\d+(?![^.,])")
_RANGE = re.compile(r"(?:^|(?<=\.))(?:\{[\d.,]+\}|\d+)(?=\.|$)")
_PLACE = re.compile("\0(\\d+)\0")

Status = Literal[
    "exact", "transformed", "partial", "tied", "init", "cast", "mismatch", "missing", "dropped", "unused", "unsure"
]


@dataclass(frozen=True, slots=True)
class Line:
    """One tensor: `side` is "target" or "source"; shapes are those of the source (first) and of the target."""

    side: Literal["target", "source"]
    key: str
    status: Status
    sources: tuple[str, ...] = ()
    rule_line: int = 0
    shape: tuple[int, ...] = ()
    dtype: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Every target with what it is made of, every source with what became of it, and the problems."""

    lines: tuple[Line, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    peak_nbytes: int = 0
    """Bytes held at once, at most: until all is set in a model; else while it is written to a file, or would be."""

    @property
    def counts(self) -> dict[str, int]:
        """Status -> how many."""
        out: dict[str, int] = {}
        for line in self.lines:
            out[line.status] = out.get(line.status, 0) + 1
        return out

    def with_status(self, *statuses: Status) -> list[Line]:
        """Return the lines with one of these."""
        return [line for line in self.lines if line.status in statuses]

    def to_json(self) -> dict[str, object]:
        """Return everything as plain data."""
        from dataclasses import asdict

        return {
            "lines": [asdict(line) for line in self.lines],
            "problems": list(self.problems),
            "notes": list(self.notes),
            "peak_nbytes": self.peak_nbytes,
        }

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
        table = ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        told = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return "\n".join(
            [told or "nothing", *table, *(f"note: {n}" for n in self.notes), *(f"problem: {p}" for p in self.problems)]
        )

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return (status, target, sources, about) with equal rows merged into blocks, complete ones only."""
        from ..blocks import compress
        from ..patterns import as_pattern

        named = []
        for line in self.lines:
            about = " x ".join(map(str, line.shape)) + (f" {line.dtype}" if line.dtype else "")
            key = as_pattern(line.key)
            sources = _relative(key, ", ".join(map(as_pattern, line.sources)))
            named.append((key, (line.side, line.status, about, line.note, sources)))
        out: list[tuple[str, str, str, str]] = []
        for row in compress(named):
            _, status, about, note, sources = row.value
            times = f"  x{row.count}" if row.count > 1 else ""
            out.append((status, row.template, _absolute(row.template, sources), f"{about}{times}  {note}".strip()))
        return out

    def _repr_html_(self) -> str:
        from html import escape  # loads the table of all entities

        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows())
        told = "".join(f"<li>{escape(text)}</li>" for text in (*self.notes, *self.problems))
        return f"<table><tr><th>status<th>target<th>made of<th>about</tr>{rows}</table><ul>{told}</ul>"


def _relative(key: str, sources: str) -> str:
    """Spell the sources with each number that the key has as its place in the key, so that layers look alike."""
    numbers = [part for part in key.split(".") if part.isdecimal()]
    return _NUMBER.sub(lambda m: f"\0{numbers.index(m[0])}\0" if m[0] in numbers else m[0], sources)


def _absolute(template: str, sources: str) -> str:
    """Put the numbers, or ranges of them, of a row back into its sources."""
    ranges = _RANGE.findall(template)
    return _PLACE.sub(lambda m: ranges[int(m[1])], sources)


def report_of(resolution: Resolution, source: Mapping[str, Any], target: Schema | None) -> Report:
    """Return the report of a plan carried out on paper."""
    lines: list[Line] = []
    for key in target if target is not None else resolution.made:
        made = resolution.made.get(key)
        if made is not None:
            lines.append(_made(made, target))
        elif key in resolution.initialised:
            rule = resolution.initialised[key]
            lines.append(Line("target", key, "init", (), rule.line, *_header(target, key), rule.reason))
        else:
            lines.append(Line("target", key, "missing", (), 0, *_header(target, key)))
    used = {name for made in resolution.made.values() for piece in made.pieces for name in piece.sources}
    for key, value in source.items():
        if key in resolution.dropped:
            rule = resolution.dropped[key]
            lines.append(Line("source", key, "dropped", (), rule.line, *_own_header(value), rule.reason))
        elif key not in used:
            lines.append(Line("source", key, "unused", (), 0, *_own_header(value)))
    problems = tuple(str(problem) for problem in resolution.problems)
    return Report(tuple(lines), problems, peak_nbytes=resolution.peak_nbytes)


def _own_header(value: Any) -> tuple[tuple[int, ...], str]:
    """What is told of a source; what is no plain tensor has neither shape nor dtype."""
    return (value.shape, value.dtype.name) if isinstance(value, Lazy) else ((), "")


def _header(target: Schema | None, key: str) -> tuple[tuple[int, ...], str]:
    if target is None or key not in target:
        return (), ""
    shape, dtype = target[key]
    return tuple(shape or ()), dtype.name


def _made(made: Made, target: Schema | None) -> Line:
    shape, dtype = _header(target, made.key) if target is not None else (made.value.shape, made.value.dtype.name)
    ops = made.steps
    cut = any(term.spans for term in made.rule.sources)
    status: Status = "tied" if made.tied else "partial" if made.spans else "transformed" if ops or cut else "exact"
    note = ops
    if target is not None and shape and tuple(made.value.shape) != shape and not made.spans:
        status, note = "mismatch", f"{list(made.value.shape)} for {list(shape)}"
    elif "unsure" in made.rule.flags:
        status = "unsure"
    elif made.cast_from:
        narrowing = " (narrows)" if made.narrows else ""
        status, note = (
            ("cast" if status == "exact" else status),
            f"{ops} {made.cast_from} -> {dtype}{narrowing}".strip(),
        )
    sources = tuple(name for piece in made.pieces for name in piece.sources)
    return Line("target", made.key, status, sources, made.rule.line, shape, dtype, note)
