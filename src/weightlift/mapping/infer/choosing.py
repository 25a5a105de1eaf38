"""Which of several modules of one size became which: by their rows, their shapes, their names, and their order.

What only the order says is never sure.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from ...values import replace
from .leaves import operation
from .match import Pair
from .names import likeness, rank, tokens
from .rows import Sides, around, by_block, direction, displaced, divided, is_whole, varying
from .trees import BLOCK, Node, Seat, numbers, template

Families = dict[tuple[str, ...], list[Node]]
"""Names without numbers, below a scope -> the nodes that have them."""

_MARGIN = 0.15  # how much better a name has to fit than any other


class Chooser:
    """Chooses among the modules below two that correspond. `weights` say how much each token tells."""

    def __init__(self, source: Node, target: Node, weights: dict[str, float], *, may_be_chance: bool) -> None:
        self.scopes = source, target
        self.weights = weights
        self.is_closed = source.numel == target.numel and not may_be_chance  # nothing is left out or new
        self.set_aside: set[int] = set()  # blocks of which one side has more: nothing else may take them
        self._choices: set[int] = set()  # rows, by id, of which nobody knows which block became which
        self._count: dict[int, int] = {}  # shapes -> modules that have them

    def settled(self, here: list[Node], there: list[Node]) -> list[Pair]:
        """Pair nodes of one size: those in the same places of equal rows, then what is left."""
        levels = len(self.scopes[0].seats), len(self.scopes[1].seats)
        parts = divided(here, there, levels)
        pairs = [pair for part in parts for pair in self._alike(*part)]
        left, right = self._left(pairs, here, there)
        return pairs + self._alike(left, right) if left and right and len(parts) > 1 else pairs

    def judged(self, pair: Pair) -> Pair:
        """The pair, unsure where it is out of place; to be asked when all pairs are known."""
        return replace(pair, doubt=pair.doubt or self._out_of_place(pair))

    def _left(self, pairs: list[Pair], here: list[Node], there: list[Node]) -> Sides:
        used = {id(node) for pair in pairs for node in (pair.source, pair.target)} | self.set_aside
        return [node for node in here if id(node) not in used], [node for node in there if id(node) not in used]

    def _alike(self, here: list[Node], there: list[Node]) -> list[Pair]:
        """Pair nodes of one size: first those with the same shapes inside."""
        pairs: list[Pair] = []
        for shapes in dict.fromkeys(node.shapes for node in here):
            one, two = ([node for node in side if node.shapes == shapes] for side in (here, there))
            if two:
                pairs += self._chosen(one, two)
        left, right = self._left(pairs, here, there)
        if left and right:
            pairs += [pair for pair in self._chosen(left, right) if _is_possible(pair)]
        return pairs

    def _chosen(self, here: list[Node], there: list[Node]) -> list[Pair]:
        left, right = _families(here, self.scopes[0]), _families(there, self.scopes[1])
        if len(left) == len(right) == 1:
            return self._family(here, there, is_alone=True)
        places = self._by_place(here, there)
        pairs: list[Pair] = []
        while best := self._clearest(left, right):
            pairs += self._family(left.pop(best[0]), right.pop(best[1]), is_alone=False)
        pairs = [_agreeing(pair, places) for pair in pairs]
        here, there = ([node for nodes in side.values() for node in nodes] for side in (left, right))
        return pairs + self._unnamed(here, there) if here and there else pairs

    # ---- by name ----

    def _clearest(self, left: Families, right: Families) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The two families that are the clearest choice for each other by name, if any is clear."""
        if not left or not right:
            return None
        words = [{family: frozenset(tokens(family)) - {"#"} for family in side} for side in (left, right)]
        every = [*words[0].values(), *words[1].values()]
        shared: frozenset[str] = frozenset.intersection(*every) if len(every) > 2 else frozenset()
        # every layer has a weight and a bias, and the last two left have the names of what they are in
        is_layer = all(len(family) == 1 for side in (left, right) for family in side)
        scores = {
            (one, two): 2.0 if one == two else likeness(mine - shared, other - shared, self.weights)
            for one, mine in words[0].items()
            for two, other in words[1].items()
            if one == two or is_layer or (mine & other - shared - _LEAVES and (len(every) > 2 or _own_alike(one, two)))
        }
        clear = []
        for (one, two), score in scores.items():
            rivals = [other for (a, b), other in scores.items() if (a == one) != (b == two)]
            regret = score - max(rivals, default=0.0)
            if score > 0 and regret >= _MARGIN and len(left[one]) == len(right[two]):
                clear.append((regret, score, (one, two)))
        return max(clear, key=lambda item: item[:2])[2] if clear else None

    def _likeness(self, one: Node, two: Node) -> float:
        """How alike two names are; what every layer calls its tensors says nothing."""
        words = [frozenset(tokens(node.below(scope))) for node, scope in zip((one, two), self.scopes, strict=True)]
        return likeness(words[0] - _LEAVES, words[1] - _LEAVES, self.weights)

    def _contradiction(self, one: Node, two: Node) -> str:
        return "the names contradict each other" if self._likeness(one, two) < 0 else ""

    # ---- by number ----

    def _family(self, here: list[Node], there: list[Node], *, is_alone: bool) -> list[Pair]:
        """Pair nodes that are told apart by numbers only; `is_alone` where no name was compared."""
        if len(here) == len(there) == 1:
            return [self._single(here[0], there[0], is_alone=is_alone)]
        one, two = (sorted(side, key=lambda node: numbers(node.path)) for side in (here, there))
        doubt = self._contradiction(one[0], two[0]) if is_alone else ""
        if len(one) != len(two):
            self.set_aside |= {id(node) for node in (*one, *two)}
            self._note_choice(one, two)
            places = {numbers(node.below(self.scopes[1])): node for node in two}
            why = doubt or f"{len(one)} became {len(two)}: which is which is a choice"
            both = [(node, places.get(numbers(node.below(self.scopes[0])))) for node in one]
            return [Pair(node, other, "ordinal", why) for node, other in both if other is not None]
        turn = direction(*(side[0].seats[-1].row if side[0].seats else side for side in (one, two)))
        if turn < 0:
            two.reverse()
        doubt = doubt or ("" if turn else "the blocks are not in the same order on both sides")
        return [Pair(a, b, "ordinal", doubt) for a, b in zip(one, two, strict=True)]

    def _single(self, one: Node, two: Node, *, is_alone: bool) -> Pair:
        """Pair the only two of a size; where something is new or left out, small ones need a name too."""
        if one.below(self.scopes[0]) == two.below(self.scopes[1]):
            return Pair(one, two, "exact")
        if not is_alone:
            return Pair(one, two, "named")
        return Pair(one, two, "forced", self._contradiction(one, two) or self._nameless(one, two))

    def _nameless(self, one: Node, two: Node) -> str:
        """Why the shapes of two small nodes are no evidence, where their names have nothing in common."""
        own = _own_words(one.below(self.scopes[0])), _own_words(two.below(self.scopes[1]))
        if one.leaves >= BLOCK or likeness(*own, self.weights) >= _MARGIN:
            return ""
        if not self.is_closed:
            return "only the shape says so"
        is_odd = self._keeps_names and self._is_common(one)
        return "nearly all names are the same, and this one would be another" if is_odd else ""

    @cached_property
    def _keeps_names(self) -> bool:
        """Whether most tensors have the same names on both sides."""
        names = [{tensor.below(scope) for tensor in scope.tensors()} for scope in self.scopes]
        return 2 * len(names[0] & names[1]) > max(map(len, names))

    # ---- by place ----

    def _unnamed(self, here: list[Node], there: list[Node]) -> list[Pair]:
        """Pair what names do not settle: by the places in a block that they tell, else by order, which is unsure."""
        blocks = by_block(here, self.scopes[0]), by_block(there, self.scopes[1])
        if len(here) != len(there):
            self._note_choice(here, there)
            return []
        if len(blocks[0]) == len(blocks[1]) > 1:
            return [pair for a, b in zip(*blocks, strict=True) for pair in self._chosen(a, b)]
        if len(here) == 1:
            doubt = "" if self.is_closed else "only the shape says so"
            doubt = self._contradiction(here[0], there[0]) or self._nameless(here[0], there[0]) or doubt
            return [Pair(here[0], there[0], "forced", doubt)]
        places = self._by_place(here, there)
        if places:
            return [Pair(a, b, "named", self._contradiction(a, b)) for a, b in places]
        why = "equal shapes, and the names do not say which"
        one, two = (sorted(side, key=lambda node: node.place) for side in (here, there))
        return [Pair(a, b, "ordinal", why) for a, b in zip(one, two, strict=True)]

    def _by_place(self, here: list[Node], there: list[Node]) -> list[tuple[Node, Node]]:
        """Nodes by the places in a block that their names tell; none where those of a side do not tell all."""
        one, two = _ranked(here, self.scopes[0]), _ranked(there, self.scopes[1])
        return list(zip(one, two, strict=True)) if len(one) == len(two) else []

    def _note_choice(self, here: list[Node], there: list[Node]) -> None:
        """Remember the rows of which one side has more blocks of a size than the other."""
        if all(is_whole(node) for node in (*here, *there)):
            for side, scope in zip((here, there), self.scopes, strict=True):
                self._choices |= varying(side, len(scope.seats))

    def _out_of_place(self, pair: Pair) -> str:
        """What speaks against a pair where blocks stand in rows."""
        mine, others = pair.source.seats[len(self.scopes[0].seats) :], pair.target.seats[len(self.scopes[1].seats) :]
        if displaced(pair, zip(mine, others, strict=False)):
            return "another place in the row of blocks"
        inside, within = around(mine, pair.source), around(others, pair.target)
        if any(id(seat.row) in self._choices for seat in (*inside, *within)):
            return "which block became which is a choice"
        chosen = [(a, b) for a in mine for b in others if {id(a.row), id(b.row)} <= self._choices]
        if not all(_at_same_end(a, b) for a, b in chosen):
            return "which block became which is a choice"
        if len(inside) != len(within) and pair.source.leaves < BLOCK and self._is_common(pair.source):
            return "one is in more blocks than the other"
        if any(len(a.row) != len(b.row) for a, b in zip(inside, within, strict=False)) and self._is_common(pair.source):
            return "the rows of blocks are of different length"
        return ""

    def may_be_chance(self, pair: Pair) -> bool:
        """Whether two blocks of one size are in rows of which nobody knows which block became which."""
        return any(id(seat.row) in self._choices for seat in (*pair.source.seats, *pair.target.seats))

    def _is_common(self, node: Node) -> bool:
        """Whether there are others with these shapes."""
        if not self._count:
            for other in self.scopes[0].modules():
                self._count[other.shapes] = self._count.get(other.shapes, 0) + 1
        return self._count.get(node.shapes, 0) > 1


_LEAVES = frozenset(("weight", "bias"))


def _own_words(path: tuple[str, ...]) -> frozenset[str]:
    """The tokens of the innermost name that tells anything; that two are in one module tells nothing of them."""
    found = (frozenset(token for token in tokens([name]) if not token.isdecimal()) - _LEAVES for name in reversed(path))
    return next((words for words in found if words), frozenset())


def _own_alike(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
    """Whether the innermost names that tell anything have something in common."""
    return bool(_own_words(one) & _own_words(two))


def _agreeing(pair: Pair, places: Iterable[tuple[Node, Node]]) -> Pair:
    """The pair, unsure where its names are alike but tell different places in a block."""
    other = next((two for one, two in places if one is pair.source), pair.target)
    return pair if other is pair.target or pair.doubt else replace(pair, doubt="the names tell different places")


def _at_same_end(one: Seat, two: Seat) -> bool:
    """Whether two places are both the first, or both the last, of their rows."""
    return one.at == two.at == 0 or (one.at, two.at) == (len(one.row) - 1, len(two.row) - 1)


def _families(nodes: Iterable[Node], scope: Node) -> Families:
    out: Families = {}
    for node in nodes:
        out.setdefault(template(node.below(scope)), []).append(node)
    return out


def _ranked(nodes: list[Node], scope: Node) -> list[Node]:
    """Nodes by the places in a block that their names tell, or none; numbers tell where nothing else is different."""
    paths = [node.below(scope) for node in nodes]
    numbered = len({template(path) for path in paths}) == 1
    places = [rank(path if numbered else template(path)) for path in paths]
    known = [place for place in places if place is not None]
    if len(set(known)) < len(nodes):
        return []
    return [nodes[i] for i in sorted(range(len(nodes)), key=lambda i: known[i])]


def _is_possible(pair: Pair) -> bool:
    """Whether a tensor can become the other at all; modules are looked into."""
    if not (pair.source.is_tensor and pair.target.is_tensor):
        return True
    return operation(pair.source.shape or (), pair.target.shape or ()) is not None
