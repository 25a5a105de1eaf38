"""Tensors of three dimensions that hold a matrix for each expert, against matrices that are parts of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from ...typed import TYPE_CHECKING, Any
from ...values import dataclass
from .fingerprints import Fingerprint, fingerprint
from .shelf import Shelf
from .steps import Member, joined_steps

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

EXPERTS = 3
"""Dimensions of what holds a matrix for each expert."""


@dataclass(frozen=True, slots=True)
class Apart:
    """A source whose rows were taken apart: the targets, row by row, and the operations."""

    source: str
    targets: tuple[str, ...]
    ops: str


def row_members(values: Array, shelf: Shelf) -> tuple[Member, ...]:
    """Return the rows of a tensor of three dimensions, each with its way; none where one has no way."""
    members = []
    for part in values if values.ndim == EXPERTS and 1 not in values.shape else ():
        seen = fingerprint(part)
        way = shelf.way(seen)
        if way is None:
            return ()
        members.append(Member(seen, way))
    return tuple(members)


def taken_apart(
    wanted: Mapping[str, Fingerprint],
    sources: Sequence[str],
    before: Callable[[str], Array],
    after: Callable[[str], Array],
) -> Iterator[Apart]:
    """Yield the sources of three dimensions each row of which is made into several of the wanted targets.

    `before` reads a source, `after` a target.
    """
    rows = [(name, fingerprint(part)) for name in sources for part in before(name)]
    shelf = Shelf([seen for _, seen in rows])
    made: dict[str, dict[int, list[tuple[str, Member]]]] = {}  # source -> row -> targets
    for name, seen in wanted.items():
        way = shelf.way(seen)
        if way is not None and not way.rivals and len({run.source for run in way.runs}) == 1:
            row = way.runs[0].source
            made.setdefault(rows[row][0], {}).setdefault(row, []).append((name, Member(seen, way)))
    for source, found in made.items():
        every = [sorted(found[row], key=lambda part: part[1].way.runs[0].start) for row in sorted(found)]
        if len(every) < sum(name == source for name, _ in rows) or len({len(parts) for parts in every}) > 1:
            continue
        names = tuple(name for parts in every for name, _ in parts)
        steps = joined_steps(
            [member for _, member in every[0]],
            shelf,
            partial(_first_row, before, source),
            partial(_named, after, names),
        )
        if steps is not None:
            yield Apart(source, names, " | ".join(["unstack(0)", *steps.words]))


def _first_row(read: Callable[[str], Array], name: str, _: int) -> Array:
    row: Array = read(name)[0]
    return row


def _named(read: Callable[[str], Array], names: Sequence[str], at: int) -> Array:
    return read(names[at])
