"""Matches as rule lines that people can read: blocks as one line, each line with its evidence.

Matches that are alike but for numbers become one line with holes for the numbers. A line never speaks of more
sources than its matches: where a hole would, the numbers are written out, and else every match is a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import product

from ...patterns import as_pattern
from ...values import dataclass, replace
from .match import Match, weaker
from .trees import NUMBER

_LOSING = ("slice(", "rows(")  # operations that may leave values out
_LETTERS = "ijklmnpqrsuvwxyz"  # `t` is a text in patterns


@dataclass(frozen=True, slots=True)
class Line:
    """One rule: patterns on both sides, operations, and what is known about it."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    ops: str
    evidence: str
    doubt: str

    def __str__(self) -> str:
        lossy = "  !lossy" if any(word.startswith(_LOSING) for word in self.ops.split(" | ")) else ""
        ops = f" : {self.ops}{lossy}" if self.ops else ""
        rule = f"{_listed(self.sources)} -> {_listed(self.targets)}{ops}"
        return f"{rule}  !unsure  # {self.evidence}: {self.doubt}" if self.doubt else f"{rule}  # {self.evidence}"


def lines_of(matches: Iterable[Match], source: Iterable[str]) -> list[Line]:
    """Return the lines of matches, in the order of their first ones. `source` are all names of the source."""
    alike: dict[tuple[object, ...], list[Match]] = {}
    for match in matches:
        mark = (_template(match.sources), _template(match.targets), match.ops, match.doubt)
        alike.setdefault(mark, []).append(match)
    known: dict[str, set[tuple[int, ...]]] = {}
    for key in source:
        known.setdefault(NUMBER.sub("#", key), set()).add(_numbers([key]))
    lines = [line for group in alike.values() for line in _lines(group, known)]
    return _with_texts(lines, known)


def _lines(group: Sequence[Match], known: Mapping[str, set[tuple[int, ...]]]) -> Iterator[Line]:
    """One line for matches that are alike but for numbers, or as many as are needed."""
    line = _one_line(group, known)
    if line is not None:
        yield line
        return
    places = [_numbers(match.sources) for match in group]
    spread = [len({place[p] for place in places}) for p in range(len(places[0]))]
    several = [p for p, count in enumerate(spread) if count > 1]
    if not several:  # one source several times, or nothing to tell matches apart by
        for match in group:
            yield from _lines([match], known)
        return
    cut = min(several, key=lambda p: spread[p])
    for value in sorted({place[cut] for place in places}):
        yield from _lines([m for m, place in zip(group, places, strict=True) if place[cut] == value], known)


def _one_line(group: Sequence[Match], known: Mapping[str, set[tuple[int, ...]]]) -> Line | None:
    """The line of all, or None where no pattern says just these."""
    before, after = [_numbers(m.sources) for m in group], [_numbers(m.targets) for m in group]
    holes = _holes(before, after)
    if holes is None:
        return None
    left, right = holes
    first = group[0]
    names = [_filled(first.sources, left), _filled(first.targets, right)]
    evidence = reduce(weaker, (match.evidence for match in group))
    if not _says_more(group, before, left, known):
        return Line(names[0], names[1], first.ops, evidence, first.doubt)
    free = sorted({hole for hole in left if hole.startswith("{")})
    if len(first.sources) == len(first.targets) == len(free) == 1:
        written = [_written(free[0], holes, places) for holes, places in ((left, before), (right, after))]
        names = [_filled(first.sources, written[0]), _filled(first.targets, written[1])]
        return Line(names[0], names[1], first.ops, evidence, first.doubt)
    return None if len(group) > 1 else Line(names[0], names[1], first.ops, evidence, first.doubt)


def _holes(before: list[tuple[int, ...]], after: list[tuple[int, ...]]) -> tuple[list[str], list[str]] | None:
    """What stands for each number on both sides: itself where it never changes, or a hole; None where nothing fits."""
    left, right = [str(n) for n in before[0]], [""] * len(after[0])
    letters: dict[tuple[int, ...], str] = {}
    for p, column in enumerate(zip(*before, strict=True)):
        if len(set(column)) > 1:
            left[p] = "{" + letters.setdefault(column, _LETTERS[min(len(letters), len(_LETTERS) - 1)]) + "}"
    used = set()
    for p, column in enumerate(zip(*after, strict=True)):
        if len(set(column)) == 1:
            right[p] = str(column[0])
            continue
        found = next(((name, fit) for known, name in letters.items() if (fit := _affine(known, column))), None)
        if found is None:
            return None
        right[p] = _affine_hole(found[0], *found[1])
        used.add(found[0])
    return (left, right) if used == set(letters.values()) else None


def _affine(column: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, int] | None:
    """Return (scale, shift) with other = scale * column + shift, scale 1 or more."""
    one, two = min(zip(column, other, strict=True)), max(zip(column, other, strict=True))
    scale, rest = divmod(two[1] - one[1], two[0] - one[0])
    shift = one[1] - scale * one[0]
    fits = not rest and scale > 0 and all(b == scale * a + shift for a, b in zip(column, other, strict=True))
    return (scale, shift) if fits else None


def _affine_hole(name: str, scale: int, shift: int) -> str:
    return "{" + (f"{scale}*" if scale > 1 else "") + name + (f"{shift:+d}" if shift else "") + "}"


def _says_more(group: Sequence[Match], before: list[tuple[int, ...]], left: list[str],
               known: Mapping[str, set[tuple[int, ...]]]) -> bool:  # fmt: skip
    """Whether the source patterns fit names that the matches do not have."""
    start = 0
    for place, name in enumerate(group[0].sources):
        length = len(_numbers([name]))
        fixed = [(p, int(hole)) for p, hole in enumerate(left[start : start + length]) if not hole.startswith("{")]
        mine = {numbers[start : start + length] for numbers in before}
        fitting = (n for n in known[NUMBER.sub("#", group[0].sources[place])] if all(n[p] == v for p, v in fixed))
        if any(numbers not in mine for numbers in fitting):
            return True
        start += length
    return False


def _written(free: str, holes: list[str], places: list[tuple[int, ...]]) -> list[str]:
    """Holes of the only free number, written out as the list of all numbers."""
    name = free[1:-1]
    out = []
    for p, hole in enumerate(holes):
        is_free = hole.startswith("{") and name in hole
        out.append(_enumerated([str(place[p]) for place in places]) if is_free else hole)
    return out


def _with_texts(lines: list[Line], known: Mapping[str, set[tuple[int, ...]]]) -> list[Line]:
    """Lines of one module's tensors as one line, with `{t}` for their names where it has no others."""
    modules: dict[str, set[str]] = {}
    for key in known:
        modules.setdefault(key.rpartition(".")[0], set()).add(key.rpartition(".")[2])
    groups: dict[object, list[Line]] = {}
    for line in lines:
        ends = {name.rpartition(".")[2] for name in (*line.sources, *line.targets)}
        stems = tuple(tuple(name.rpartition(".")[0] for name in side) for side in (line.sources, line.targets))
        joinable = len(ends) == 1 and "{" not in next(iter(ends)) and all(stem for side in stems for stem in side)
        mark = (stems, line.ops, line.doubt) if joinable and "reshape" not in line.ops else id(line)
        groups.setdefault(mark, []).append(line)
    out = []
    for group in groups.values():
        leaves = [line.sources[0].rpartition(".")[2] for line in group]
        stem = NUMBER.sub("#", _unhole(group[0].sources[0].rpartition(".")[0]))
        if len(group) == 1 or modules.get(stem) != set(leaves):
            out += group
            continue
        sources, targets = (tuple(f"{name.rpartition('.')[0]}.{{t}}" for name in side)
                            for side in (group[0].sources, group[0].targets))  # fmt: skip
        evidence = reduce(weaker, (line.evidence for line in group))
        out.append(replace(group[0], sources=sources, targets=targets, evidence=evidence))
    return out


def _unhole(pattern: str) -> str:
    """A pattern with a number for each of its holes."""
    out, depth = "", 0
    for letter in pattern:
        depth += (letter == "{") - (letter == "}")
        out += "0" if letter == "}" and not depth else "" if depth or letter == "}" else letter
    return out


def _template(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(NUMBER.sub("#", name) for name in names)


def _numbers(names: Iterable[str]) -> tuple[int, ...]:
    return tuple(int(found) for name in names for found in NUMBER.findall(name))


def _filled(names: Sequence[str], holes: Sequence[str]) -> tuple[str, ...]:
    """Names as patterns with holes for their numbers, one after another."""
    left = iter(holes)
    return tuple(NUMBER.sub(lambda _: next(left), as_pattern(name)) for name in names)


def _listed(names: Sequence[str]) -> str:
    """Several patterns as one with enumerations, where they are all that it says and in its order; else as a list."""
    split = [name.split(".") for name in names]
    if len(names) > 1 and len({len(parts) for parts in split}) == 1:
        columns = [list(dict.fromkeys(column)) for column in zip(*split, strict=True)]
        plain = not any("{" in text or "`" in text for column in columns if len(column) > 1 for text in column)
        if plain and [list(parts) for parts in product(*columns)] == split:
            return ".".join(column[0] if len(column) == 1 else _enumerated(column) for column in columns)
    return ", ".join(names)


def _enumerated(texts: Sequence[str]) -> str:
    low, high = texts[0], texts[-1]
    if len(texts) > 2 and low.isdecimal() and list(texts) == [str(n) for n in range(int(low), int(low) + len(texts))]:
        return "{" + f"{low}..{high}" + "}"
    return "{" + ",".join(texts) + "}"
