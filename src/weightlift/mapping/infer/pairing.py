"""Which module became which: the largest first, by what stays the same, then by what the names say.

Two modules correspond where they hold as many elements. Those that do are paired and looked into; those that do
not are opened, and what is in them is looked at beside everything else that is open. So differently nested
modules meet at the depth where they are the same again.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...values import replace
from .choosing import Chooser
from .groups import grouped
from .leaves import operation
from .match import Match, Pair, weaker
from .names import weights_of
from .trees import Node, spelled, template


class Pairing:
    """The pairing of two trees. Blocks that are alike on both sides are looked into once."""

    def __init__(self, source: Node, target: Node) -> None:
        self.weights = weights_of({template(t.path) for tree in (source, target) for t in tree.tensors()})
        self._known: dict[tuple[object, ...], list[Match]] = {}

    def matches(self, source: Node, target: Node, *, may_be_chance: bool = False) -> list[Match]:
        """Return the matches of everything in two modules that correspond; names are `spelled`, below their cores.

        `may_be_chance` says that their sizes alone are no proof that nothing in them is new.
        """
        source, target = source.core(), target.core()
        mark = (source.kind, target.kind, template(source.path[-2:]), template(target.path[-2:]), may_be_chance)
        if mark not in self._known:
            self._known[mark] = _Scope(self, source, target, may_be_chance=may_be_chance).matches()
        return self._known[mark]


class _Scope:
    """Two modules that correspond, being opened."""

    def __init__(self, pairing: Pairing, source: Node, target: Node, *, may_be_chance: bool) -> None:
        self.pairing = pairing
        self.source, self.target = source, target
        self.choose = Chooser(source, target, pairing.weights, may_be_chance=may_be_chance)
        self.found: list[Match] = []

    def matches(self) -> list[Match]:
        """Return all matches, by names below the two modules."""
        if self.source.is_tensor and self.target.is_tensor:
            self._enter(Pair(self.source, self.target, "forced"))
            return self.found
        sides = _Side(self.source), _Side(self.target)
        paired: list[Pair] = []
        while sides[0].queue and sides[1].queue:
            size = max(side.queue[0].numel for side in sides)
            here, there = (side.take(size) for side in sides)
            pairs = self.choose.settled(here, there) if here and there else []
            paired += pairs
            done = {id(node) for pair in pairs for node in (pair.source, pair.target)} | self.choose.set_aside
            for side, nodes in zip(sides, (here, there), strict=True):
                side.open(node for node in nodes if id(node) not in done)
        for pair in paired:
            self._enter(self.choose.judged(pair))
        self._residue(*(side.rest() for side in sides))
        return self.found

    def _enter(self, pair: Pair) -> None:
        """Note what becomes of two tensors, or of all in two modules."""
        before, after = _below(pair.source, self.source), _below(pair.target, self.target)
        if pair.source.is_tensor and pair.target.is_tensor:
            ops = operation(pair.source.shape or (), pair.target.shape or ())
            if ops is not None:
                self.found.append(Match((before,), (after,), ops, pair.evidence, pair.doubt))
            return
        before, after = _below(pair.source.core(), self.source), _below(pair.target.core(), self.target)
        by_chance = self.choose.may_be_chance(pair)
        for match in self.pairing.matches(pair.source, pair.target, may_be_chance=by_chance):
            self.found.append(
                replace(
                    match,
                    sources=tuple(before + name for name in match.sources),
                    targets=tuple(after + name for name in match.targets),
                    evidence=weaker(match.evidence, pair.evidence),
                    doubt=match.doubt or pair.doubt,
                )
            )

    def _residue(self, left: list[Node], right: list[Node]) -> None:
        """Fused and split tensors among those that nothing was found for, and then what else is left."""
        done: set[int] = set()
        for group in grouped(left, right, self.source, self.target):
            sources = tuple(_below(node, self.source) for node in group.sources)
            targets = tuple(_below(node, self.target) for node in group.targets)
            self.found.append(Match(sources, targets, group.ops, "group", group.doubt))
            done |= {id(node) for node in (*group.sources, *group.targets)}
        left, right = ([node for node in side if id(node) not in done] for side in (left, right))
        for size in dict.fromkeys(node.numel for node in left) if done else ():
            here, there = ([node for node in side if node.numel == size] for side in (left, right))
            for pair in self.choose.settled(here, there) if there else ():
                self._enter(self.choose.judged(pair))


class _Side:
    """What is open on one side, largest first, and tensors that were not paired."""

    def __init__(self, scope: Node) -> None:
        self.queue = sorted([scope] if scope.is_tensor else scope.parts, key=lambda part: -part.numel)
        self.ends: list[Node] = []

    def take(self, size: int) -> list[Node]:
        """Take the nodes of the largest size off, if that is theirs."""
        count = 0
        while count < len(self.queue) and self.queue[count].numel == size:
            count += 1
        taken, self.queue = self.queue[:count], self.queue[count:]
        return taken

    def open(self, nodes: Iterable[Node]) -> None:
        """Put in what is in modules that were not paired; sorting what is sorted but for a few costs little."""
        for node in nodes:
            if node.is_tensor:
                self.ends.append(node)
            self.queue += node.parts
        self.queue.sort(key=lambda part: -part.numel)

    def rest(self) -> list[Node]:
        """Every tensor that was not paired."""
        return self.ends + [tensor for node in self.queue for tensor in node.tensors() if tensor.is_weight]


def _below(node: Node, scope: Node) -> str:
    return spelled(node.below(scope))
