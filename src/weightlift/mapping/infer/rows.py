"""Rows of blocks: modules that numbers alone tell apart, and which places in two rows correspond."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .match import Pair
from .trees import Node, Seat, numbers, squeezed, template

Sides = tuple[list[Node], list[Node]]


def divided(here: list[Node], there: list[Node], levels: tuple[int, int]) -> list[Sides]:
    """Divide nodes by their places in rows, from a level of seats on, where all are in rows of one length."""
    seats = _at_level(here, levels[0]), _at_level(there, levels[1])
    if not (seats[0] and seats[1]) or len({len(seat.row) for side in seats for seat in side}) > 1:
        return [(here, there)]
    turn = direction(seats[0][0].row, seats[1][0].row)
    if not turn:
        return [(here, there)]
    groups: dict[int, Sides] = {}
    for node, seat in zip(here, seats[0], strict=True):
        groups.setdefault(seat.at, ([], []))[0].append(node)
    for node, seat in zip(there, seats[1], strict=True):
        at = seat.at if turn > 0 else len(seat.row) - 1 - seat.at
        groups.setdefault(at, ([], []))[1].append(node)
    return [part for at in sorted(groups) for part in divided(*groups[at], (levels[0] + 1, levels[1] + 1))]


def _at_level(nodes: list[Node], level: int) -> list[Seat]:
    """The seat of every node at a level; none at all where one has none."""
    return [node.seats[level] for node in nodes] if all(len(node.seats) > level for node in nodes) else []


def direction(one: Sequence[Node], two: Sequence[Node]) -> int:
    """Return 1 where sizes change alike along two rows, -1 where one row is backwards, 0 where neither is so."""
    sizes = [[node.numel for node in row] for row in (one, two)]
    if sizes[0] == sizes[1]:
        return 1
    if sizes[0] == sizes[1][::-1]:
        return -1
    unique = [{n: i for i, n in enumerate(row) if row.count(n) == 1} for row in sizes]
    places = [unique[1][n] for n in unique[0] if n in unique[1]]
    if len(places) < 2 or places == sorted(places):
        return 1
    return -1 if places == sorted(places, reverse=True) else 0


def displaced(pair: Pair, seats: Iterable[tuple[Seat, Seat]]) -> bool:
    """Whether two nodes are in different places of equal rows, and something else could be meant in the right place."""
    for mine, other in seats:
        if len(mine.row) != len(other.row):
            return False
        if mine.at != other.at:
            largest = max(pair.target.tensors(), key=lambda tensor: tensor.numel)
            home = (tensor.shape for tensor in mine.row[other.at].tensors() if tensor.is_weight)
            return any(squeezed(shape or ()) == squeezed(largest.shape or ()) for shape in home)
    return False


def varying(nodes: Iterable[Node], level: int) -> set[int]:
    """The rows, by id, in which nodes have different places; for one node alone its innermost."""
    seats = [node.seats[level:] for node in nodes]
    found: set[int] = set()
    for places in zip(*seats, strict=False):
        if len({(id(seat.row), seat.at) for seat in places}) > 1:
            found |= {id(seat.row) for seat in places}
    return found or {id(places[-1].row) for places in seats if places}


def is_whole(node: Node) -> bool:
    """Whether a node is all that has its place in a row."""
    return bool(node.seats) and node.seats[-1].node.leaves == node.leaves


def around(seats: Iterable[Seat], node: Node) -> list[Seat]:
    """The places of the blocks that a node is only a part of."""
    return [seat for seat in seats if seat.is_block and seat.node.leaves > node.leaves]


def by_block(nodes: Iterable[Node], scope: Node) -> list[list[Node]]:
    """The nodes of each block, a module whose whole name is a number, in order."""
    out: dict[tuple[str, ...], list[Node]] = {}
    for node in nodes:
        below = node.below(scope)
        last = max((i for i, name in enumerate(below[:-1]) if name.isdecimal()), default=-1)
        out.setdefault(below[: last + 1], []).append(node)
    return [out[path] for path in sorted(out, key=lambda path: (template(path), numbers(path)))]
