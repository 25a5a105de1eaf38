"""The matches between two state dicts: weights first, then the counters beside them, then what speaks against it."""

from __future__ import annotations

from collections.abc import Iterable

from ...values import replace
from ..resolve import Schema
from .counters import counters
from .doubts import doubted, unlike_others
from .match import Match
from .pairing import Pairing
from .same_names import same_names
from .trees import Node, spelled, tree_of


def find(source: Schema, target: Schema) -> list[Match]:
    """Return where every target comes from, as far as can be told. Reads names, shapes and types only."""
    if not source or not target:
        return []
    left, right = tree_of(source), tree_of(target)
    matches = _whole(Pairing(left, right).matches(left, right), left, right)
    matches += same_names(left, right, matches)
    matches += counters(matches, source, target)
    roles = [{tensor.key: tensor.role for tensor in tree.tensors()} for tree in (left, right)]
    return unlike_others(doubted(matches, source, target), *roles)


def _whole(matches: Iterable[Match], source: Node, target: Node) -> list[Match]:
    """Matches with the whole names, in place of those below the cores of the trees."""
    before, after = spelled(source.core().path), spelled(target.core().path)
    sources, targets = ({spelled(tensor.path): tensor.key for tensor in tree.tensors()} for tree in (source, target))
    return [
        replace(
            match,
            sources=tuple(sources[before + name] for name in match.sources),
            targets=tuple(targets[after + name] for name in match.targets),
        )
        for match in matches
    ]
