"""The ambiguous set of a plan: what else its `!unsure` rules could mean, and nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain, permutations, product
from math import factorial, prod

from ..typed import Any
from ..values import dataclass
from .resolve import Resolution
from .rules import Rule, masked
from .settle import prefix_of

_ENUMERATION = re.compile(r"\{([^{},]*(?:,[^{},]*)+)\}")

Lefts = dict[int, str]
"""Line of a rule -> its source side; only what differs from the plan."""


@dataclass(frozen=True, slots=True)
class Exchanges:
    """Rules whose source sides may change places, and enumerations whose order may change."""

    families: tuple[tuple[Rule, ...], ...]
    orders: tuple[tuple[Rule, tuple[str, ...]], ...]
    """Rule -> the texts of its enumeration, in the order of the plan first."""

    @property
    def count(self) -> int:
        """How many there are beside the plan itself."""
        sizes = [len(family) for family in self.families] + [len(choices) for _, choices in self.orders]
        return prod(map(factorial, sizes)) - 1

    def __iter__(self) -> Iterator[Lefts]:
        """Every one of them beside the plan itself, by the source sides that change."""
        places = chain(
            (permutations([rule.sides[0] for rule in family]) for family in self.families),
            (permutations(choices) for _, choices in self.orders),
        )
        for chosen in product(*places):
            lefts = {rule.line: rule.sides[0] for rule in chain(*self.families)}
            for family, sides in zip(self.families, chosen[: len(self.families)], strict=True):
                lefts |= {rule.line: side for rule, side in zip(family, sides, strict=True)}
            for (rule, _), order in zip(self.orders, chosen[len(self.families) :], strict=True):
                lefts[rule.line] = _reordered(rule.sides[0], order)
            before = {rule.line: rule.sides[0] for rule in chain(*self.families, (rule for rule, _ in self.orders))}
            if changed := {line: side for line, side in lefts.items() if side != before[line]}:
                yield changed


def exchanges(rules: tuple[Rule, ...], resolution: Resolution, weights: Mapping[str, Any]) -> Exchanges:
    """Return what the rules marked `!unsure` could mean as well.

    A family is rules with the same operations and prefix whose sources have the same shapes; a rule with one
    enumeration, such as `{q,k,v}`, could mean it in another order.
    """
    unsure = [rule for rule in rules if "unsure" in rule.flags and rule.kind == "map" and not rule.excepts]
    shapes: dict[int, list[tuple[int, ...]]] = {}
    for made in resolution.made.values():
        for piece in made.pieces:
            shapes.setdefault(piece.rule.line, []).extend(tuple(weights[key].shape) for key in piece.sources)
    orders = [(rule, tuple(found[1].split(","))) for rule in unsure if (found := _enumeration(rule)) is not None]
    lone = {rule.line for rule, _ in orders}
    families: dict[tuple[object, ...], list[Rule]] = {}
    for rule in unsure:
        if rule.line not in lone:
            ops = tuple(map(str, rule.ops))
            key = (ops, prefix_of(rule.sources, rule.sides[0]), tuple(sorted(shapes.get(rule.line, []))))
            families.setdefault(key, []).append(rule)
    return Exchanges(tuple(tuple(family) for family in families.values() if len(family) > 1), tuple(orders))


def _enumeration(rule: Rule) -> re.Match[str] | None:
    found = list(_ENUMERATION.finditer(masked(rule.sides[0])))
    return found[0] if len(found) == 1 and "`" not in rule.sides[0] else None


def _reordered(side: str, order: tuple[str, ...]) -> str:
    return _ENUMERATION.sub(lambda _: "{" + ",".join(order) + "}", side, count=1)
