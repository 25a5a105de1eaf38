"""Tensors that have kept their whole names, among those that nothing else was found for.

In models that are mostly the same, a module may be opened on both sides because of something new in it. A name that
is left over on both sides, with the same shape, is the same tensor, unless blocks may have been numbered anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from .match import Match
from .trees import Node


def same_names(source: Node, target: Node, matches: Iterable[Match]) -> list[Match]:
    """Return the matches of tensors of one name and shape that no match has yet."""
    matches = list(matches)
    used = {key for match in matches for key in match.sources}
    made = {key for match in matches for key in match.targets}
    left = {tensor.key: tensor for tensor in source.tensors() if tensor.is_weight and tensor.key not in used}
    return [
        Match((tensor.key,), (tensor.key,), "", "exact", _doubt(left[tensor.key], tensor))
        for tensor in target.tensors()
        if tensor.key not in made and tensor.key in left and left[tensor.key].shape == tensor.shape
    ]


def _doubt(one: Node, two: Node) -> str:
    rows = [[(seat.at, len(seat.row)) for seat in tensor.seats] for tensor in (one, two)]
    return "" if rows[0] == rows[1] else "the same name, and other blocks beside it: they may be numbered anew"
