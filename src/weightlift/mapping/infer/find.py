"""The matches between two state dicts: weights first, then the counters beside them, then what speaks against it."""

from __future__ import annotations

from ...values import replace
from ..resolve import Schema
from .counters import beside
from .doubts import doubted, unlike_others
from .match import Match
from .pairing import Pairing
from .same_names import same_names
from .trees import Node, tree_of


def find(source: Schema, target: Schema) -> list[Match]:
    """Return where every target comes from, as far as can be told. Reads names, shapes and types only."""
    left, right = tree_of(source), tree_of(target)
    matches = [_whole(match, left.core(), right.core()) for match in Pairing(left, right).matches(left, right)]
    matches += same_names(left, right, matches)
    matches += beside(matches, source, target)
    roles = [{tensor.key: tensor.role for tensor in tree.tensors()} for tree in (left, right)]
    return unlike_others(doubted(matches, source, target), *roles)


def _whole(match: Match, source: Node, target: Node) -> Match:
    """A match with the whole names."""
    before, after = ("".join(f"{name}." for name in node.path) for node in (source, target))
    return replace(
        match,
        sources=tuple(before + name for name in match.sources),
        targets=tuple(after + name for name in match.targets),
    )
