"""Notebooks: the code cells as one source, a map back to them, and the file written again with nothing else changed.

The cells are checked together, since one imports what the next uses. A line of IPython's own (`%time`, `!ls`, `x?`) is
no Python: it stands as a `pass` of its own for the parser and comes back as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from json.decoder import scanstring  # type: ignore[attr-defined]

from ..typed import Any
from ..values import dataclass, replace
from .values import Diagnostic

_CELL = "# <weightlift: cell {}>"
_MAGIC = "pass  # <weightlift: line {}>"
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell: its number among all cells from 1, its source, and where that stands in the file's text."""

    number: int
    source: str
    begin: int
    end: int


class Notebook:
    """One notebook. `source` is what is checked: every code cell behind a comment that names it."""

    def __init__(self, data: bytes) -> None:
        """Read the cells.

        Raises:
            ValueError: It is no notebook: no JSON, or without cells.
        """
        self._text = data.decode()
        self._cells = _cells(self._text)
        self._magics: list[str] = []
        self._begins: list[tuple[int, int]] = []
        lines: list[str] = []
        for cell in self._cells:
            lines.append(_CELL.format(cell.number))
            self._begins.append((len(lines), cell.number))
            lines += self._python(cell.source.split("\n"))
        self.source = ("\n".join(lines) + "\n").encode()

    def located(self, diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
        """Return the diagnostics of `source` with the cell that they are in, and its lines."""
        made = []
        for each in diagnostics:
            before, cell = max((begin for begin in self._begins if begin[0] < each.line), default=(0, 1))
            made.append(replace(each, line=each.line - before, end_line=each.end_line - before, cell=cell))
        return made

    def with_source(self, source: bytes) -> bytes:
        """Return the file with the cells of a changed `source` in their places; a cell that is as it was stays so.

        Raises:
            ValueError: The comments that part the cells are not all there.
        """
        parts = self._parted(source.decode())
        pieces, at = [], 0
        for cell in self._cells:
            if parts[cell.number] != cell.source:
                pieces += [self._text[at : cell.begin], _spelled(parts[cell.number], self._text[cell.begin : cell.end])]
                at = cell.end
        return "".join([*pieces, self._text[at:]]).encode()

    def _python(self, lines: list[str]) -> list[str]:
        """Return the lines of a cell with those of IPython's own replaced."""
        if lines[0].startswith("%%"):
            return [self._kept(line) for line in lines]
        return [self._kept(line) if _is_magic(line) else line for line in lines]

    def _kept(self, line: str) -> str:
        self._magics.append(line)
        indent = "" if line.startswith("%%") else line[: len(line) - len(line.lstrip())]
        return indent + _MAGIC.format(len(self._magics) - 1)

    def _parted(self, source: str) -> dict[int, str]:
        """Return the source of each cell by its number; what stands before the first is put into the first."""
        for i, magic in reversed(list(enumerate(self._magics))):
            before, marker, after = source.rpartition(_MAGIC.format(i))
            if not marker:
                raise ValueError(f"line {magic!r} is gone")
            begin = before.rfind("\n") + 1
            source = before[:begin] + magic + after
        parts: dict[int, str] = {}
        rest = source.removesuffix("\n")
        for cell in reversed(self._cells):
            rest, marker, inner = rest.rpartition(_CELL.format(cell.number) + "\n")
            if not marker:
                raise ValueError(f"cell {cell.number} is gone")
            parts[cell.number] = inner
            rest = rest.removesuffix("\n")
        if rest:
            first = self._cells[0].number
            parts[first] = rest + "\n" + parts[first]
        return parts


def _is_magic(line: str) -> bool:
    text = line.strip()
    return text.startswith(("%", "!", "?")) or (text.endswith("?") and "#" not in text)


def _cells(text: str) -> list[Cell]:
    """Return the code cells of a notebook with the places of their sources; one without a source is passed over."""
    try:
        cells = [(cell.get("cell_type"), cell.get("source")) for cell in json.loads(text)["cells"]]
        spans = _source_spans(text)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"no notebook: {type(error).__name__}: {error}") from None
    found = []
    for number, ((kind, source), span) in enumerate(zip(cells, spans, strict=True), 1):
        if kind != "code" or span is None:
            continue
        lines = source if isinstance(source, list) else [source]
        if not all(isinstance(line, str) for line in lines):
            raise ValueError(f"no notebook: the source of cell {number} is no text")
        if whole := "".join(lines):
            found.append(Cell(number, whole, *span))
    return found


def _source_spans(text: str) -> list[tuple[int, int] | None]:
    """Return where the value of `source` begins and ends, for each cell; None for one without."""
    spans = []
    for cell in _elements(text, dict(_members(text, _skip(text, 0)))["cells"]):
        begin = dict(_members(text, cell)).get("source")
        spans.append(None if begin is None else (begin, _end(text, begin)))
    return spans


_decoder = json.JSONDecoder()


def _end(text: str, at: int) -> int:
    return _decoder.raw_decode(text, at)[1]


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _members(text: str, at: int) -> Iterable[tuple[str, int]]:
    """Yield the names in an object with the places of their values. The text has been parsed before."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = scanstring(text, at + 1)
        value = _skip(text, _skip(text, at) + 1)
        yield name, value
        at = _skip(text, _end(text, value))
        if text[at] == ",":
            at = _skip(text, at + 1)


def _elements(text: str, at: int) -> Iterable[int]:
    """Yield the places of the elements of an array."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        yield at
        at = _skip(text, _end(text, at))
        if text[at] == ",":
            at = _skip(text, at + 1)


def _spelled(source: str, before: str) -> str:
    """Return a source as JSON, laid out as it was: one string or a list of lines, escaped or not."""
    as_ascii = before.isascii() and "\\u" in before
    if not before.startswith("["):
        return _quoted(source, as_ascii=as_ascii)
    separator = before[1 : before.index('"')] if '"' in before else ""
    closing = before[before.rindex('"') + 1 : -1] if '"' in before else ""
    lines: list[Any] = source.splitlines(keepends=True)
    between = "," + (separator or " ")
    return "[" + separator + between.join(_quoted(line, as_ascii=as_ascii) for line in lines) + closing + "]"


def _quoted(text: str, *, as_ascii: bool) -> str:
    return json.dumps(text, ensure_ascii=as_ascii)
