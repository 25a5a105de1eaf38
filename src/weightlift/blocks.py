"""Repeated blocks as one row: `layers.{0..31}.attn.q_proj.weight`. Only what is equal and complete is merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .typed import Any
from .values import dataclass

_Member = tuple[tuple[int, ...], int, str]
"""The numbers in a name, its position, and the name."""


@dataclass(frozen=True, slots=True)
class Row:
    """Names that are alike but for numbers: the template, the value they share, and how many they are."""

    template: str
    value: Any
    count: int
    first: str


def compress(names: Iterable[tuple[str, Any]]) -> list[Row]:
    """Return rows in the order of first appearance; every row stands for exactly the names given.

    Names are merged where they have the same segments but for numbers, equal values, and where the
    numbers make a full grid: every combination is there.

    >>> [row.template for row in compress((f"h.{i}.w", None) for i in range(12))]
    ['h.{0..11}.w']
    """
    groups: dict[tuple[tuple[str, ...], tuple[int, ...], Any], list[_Member]] = {}
    for position, (name, value) in enumerate(names):
        parts = name.split(".")
        spots = tuple(i for i, part in enumerate(parts) if _is_number(part))
        numbers = tuple(int(parts[i]) for i in spots)
        template = tuple("" if i in spots else part for i, part in enumerate(parts))
        groups.setdefault((template, spots, value), []).append((numbers, position, name))
    rows = []
    for (_, spots, value), members in groups.items():
        for grid, first in _grids(members):
            rows.append((first[1], Row(_spell(first[2], spots, grid), value, _size(grid), first[2])))
    return [row for _, row in sorted(rows, key=lambda item: item[0])]


def _is_number(part: str) -> bool:
    return part.isdecimal() and part.isascii() and (part == "0" or part[0] != "0") and len(part) < 10


def _grids(members: list[_Member]) -> list[tuple[list[list[int]], _Member]]:
    """Split number tuples into full grids, cutting along the first axis where they make none."""
    axes = [sorted(set(axis)) for axis in zip(*(member[0] for member in members), strict=True)]
    if _size(axes) == len(members):
        return [(axes, members[0])]
    for axis in range(len(axes)):
        rows: dict[int, list[_Member]] = {}
        for member in members:
            rows.setdefault(member[0][axis], []).append(member)
        alike: dict[frozenset[tuple[int, ...]], list[_Member]] = {}
        for row in rows.values():
            alike.setdefault(frozenset(m[0][:axis] + m[0][axis + 1 :] for m in row), []).extend(row)
        if len(alike) > 1:
            return [grid for part in alike.values() for grid in _grids(part)]
    return [([[n] for n in member[0]], member) for member in members]


def _size(axes: Sequence[Sequence[int]]) -> int:
    size = 1
    for axis in axes:
        size *= len(axis)
    return size


def _spell(name: str, spots: tuple[int, ...], axes: list[list[int]]) -> str:
    parts = name.split(".")
    for spot, values in zip(spots, axes, strict=True):
        parts[spot] = _ranges(values)
    return ".".join(parts)


def _ranges(values: list[int]) -> str:
    """Return 7, {0..11}, or {0..3,8,9} for numbers in order."""
    if len(values) == 1:
        return str(values[0])
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    spelled = [f"{a}..{b}" if b > a + 1 else ",".join(map(str, range(a, b + 1))) for a, b in runs]
    return "{" + ",".join(spelled) + "}"
