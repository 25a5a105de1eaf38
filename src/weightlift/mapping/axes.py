"""Which names a rule shares between its sides, and which its operations consume or produce."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import PlanError
from ..patterns import TAIL, Binding, Hole, Pattern
from .rules import Rule, Term

TERM, TARGET = "#term", "#target"


class Axes:
    """Which names a rule shares between its sides, which its operations consume, which they produce."""

    def __init__(self, rule: Rule) -> None:
        sources, targets = rule.sources, rule.targets
        left, right = _names(sources), _names(targets)
        if len(targets) > 1 and any(term.pattern.enumerations for term in targets):
            raise PlanError(
                "an enumeration beside other targets", expected="all targets written out, or one enumeration"
            )
        self._rename, leftover, new = _pair_enumerations(sources[0].pattern, targets[0].pattern)
        paired = tuple(self._rename.values())
        self.shared = tuple(sorted(left & right)) + paired
        several = (TERM,) if len(sources) > 1 else ()
        self.consumed = (*several, *leftover, *sorted(left - right))
        fresh = [(name, 0) for name in sorted(right - left)]
        many = [(TARGET, len(targets))] if len(targets) > 1 else []
        self.produced = [*many, *((hole.name, len(hole.choices)) for hole in new), *fresh]
        texts = [
            n
            for n in (*(left - right), *(right - left))
            if n.startswith(TAIL) or not _is_integer(n, (*sources, *targets))
        ]
        if texts:
            raise PlanError(f"{{{texts[0]}}} stands on one side only", expected="texts and ** on both sides")

    def renamed(self, binding: Binding) -> Binding:
        """Return a source's binding with its enumerations under the target's names."""
        return {self._rename.get(name, f"{name}<" if name.startswith("#") else name): v for name, v in binding.items()}


def _pair_enumerations(source: Pattern, target: Pattern) -> tuple[dict[str, str], list[str], list[Hole]]:
    """Pair enumerations of equal length in order; return (source -> target name, source's left, target's left)."""
    free = list(target.enumerations)
    rename: dict[str, str] = {}
    left: list[str] = []
    for hole in source.enumerations:
        mate = next((other for other in free if len(other.choices) == len(hole.choices)), None)
        if mate is None:
            left.append(f"{hole.name}<")
        else:
            free.remove(mate)
            rename[hole.name] = mate.name
    return rename, left, free


def _names(terms: tuple[Term, ...]) -> frozenset[str]:
    return frozenset().union(*(term.pattern.names for term in terms))


def _is_integer(name: str, terms: Iterable[Term]) -> bool:
    return any(hole.name == name and hole.kind == "int" for term in terms for hole in term.pattern.holes)
