"""Matches found from values: a target that was converted once tells by its content how it was done.

Whole tensors are looked up first, then slices along every dimension. What is found is carried out as a plan and
compared, so a match is never a likeness. Where values tell nothing (all zeros, one counter like the other), names
choose among what the values allow. One tensor is held at a time, or those of one fused tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...dtypes import DType
from ...tensors.computed import Lazy
from ...typed import TYPE_CHECKING, Any
from ...values import dataclass, replace
from ..schema import headers
from .arrange import arrangement
from .beside import module_origins, same_place, several
from .experts import EXPERTS, row_members, taken_apart
from .find import find
from .fingerprints import Fingerprint, fingerprint, readings
from .match import Match
from .replay import replays
from .shelf import Shelf
from .steps import Member, joined_steps

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def by_values(source: Mapping[str, Any], target: Mapping[str, Any]) -> list[Match]:
    """Return where the targets come from, as their values show; a target that is made of nothing here is left out.

    Reads every tensor a few times. Each match gives its targets exactly, after rounding to their types. What only
    names could tell apart has the evidence of the names, and their doubt.
    """
    return _Recovery(source, target).matches()


@dataclass(frozen=True, slots=True)
class _Open:
    """A target whose slices were found; `parts` are the ways of its rows where it was taken apart."""

    name: str
    dtype: DType
    member: Member
    parts: tuple[Member, ...] = ()


class _Recovery:
    def __init__(self, source: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        self.source, self.target = (
            {name: value for name, value in side.items() if isinstance(value, Lazy)} for side in (source, target)
        )
        self.names = list(self.source)
        self.shelves = self._shelves()
        self.found: dict[str, Match] = {}
        self.nowhere: dict[DType, dict[str, Fingerprint]] = {}
        self._named: dict[str, Match] | None = None

    def matches(self) -> list[Match]:
        """Return the matches in the order of their first targets."""
        opened, rest = [], []
        for name in self.target:
            seen = self._whole(name)
            if isinstance(seen, _Open):
                opened.append(seen)
            elif seen is not None:
                rest.append((name, seen))
        for group in _connected(opened):
            self._join(group)
        for dtype, wanted in self.nowhere.items():
            self._take_apart(dtype, wanted)
        rest += [(one.name, []) for one in opened]
        origins = module_origins(self.found.values())
        for name, candidates in rest:
            beside = same_place(name, candidates, origins)
            if name not in self.found and not (beside and self._enter(beside)):
                self._by_name(name, candidates)
        places = {name: i for i, name in enumerate(self.target)}
        every = {match.targets: match for match in self.found.values()}
        return sorted(every.values(), key=lambda match: min(places[name] for name in match.targets))

    # ---- reading ----

    def _shelves(self) -> dict[DType, tuple[list[str], Shelf]]:
        """For each type of the targets, the sources brought to it."""
        held: dict[DType, dict[str, Fingerprint]] = {item.dtype: {} for item in self.target.values()}
        known: dict[object, str] = {}
        for name, tensor in self.source.items():
            first = known.setdefault(tensor.view, name)
            for dtype, values in readings(tensor, set(held)) if first == name else ():
                held[dtype][name] = fingerprint(values)
            for prints in held.values():
                if first in prints:
                    prints[name] = prints[first]
        return {dtype: (list(prints), Shelf(list(prints.values()))) for dtype, prints in held.items()}

    def _values(self, tensor: Lazy, dtype: DType) -> Array:
        (values,) = (values for _, values in readings(tensor, {dtype}))
        return values

    # ---- one target ----

    def _whole(self, name: str) -> _Open | list[str] | None:
        """Enter a target that is one whole source; return it with its slices, or the candidates for it."""
        tensor = self.target[name]
        values = next((values for _, values in readings(tensor, {tensor.dtype})), None)
        if values is None:
            return None
        seen = fingerprint(values)
        names, shelf = self.shelves[tensor.dtype]
        candidates = [names[i] for i in shelf.wholes(seen)]
        if seen.is_plain:
            return candidates
        if len({self.source[one].view for one in candidates}) == 1:
            self._enter_whole(name, candidates, values)
            return candidates
        if candidates:
            return candidates
        way = shelf.way(seen)
        if way is not None:
            return _Open(name, tensor.dtype, Member(seen, way))
        parts = row_members(values, shelf)
        if parts:
            return _Open(name, tensor.dtype, parts[0], parts)
        self.nowhere.setdefault(tensor.dtype, {})[name] = seen
        return []

    def _enter_whole(self, name: str, candidates: list[str], values: Array) -> None:
        """Enter a target that one source makes, whatever its names."""
        chosen = candidates[0]
        if len(candidates) > 1:
            named = self._by_names().get(name)
            chosen = next((one for one in candidates if named and named.sources == (one,)), chosen)
        words = arrangement(self._values(self.source[chosen], self.target[name].dtype), values)
        if words is not None:
            self._enter(Match((chosen,), (name,), " | ".join(words), "value"))

    # ---- several at once ----

    def _join(self, group: list[_Open]) -> None:
        """Enter targets that share sources: all in one match, or else each by itself."""
        if not self._entered(group) and len(group) > 1:
            for one in group:
                self._entered([one])

    def _entered(self, group: list[_Open]) -> bool:
        if any(one.parts for one in group):
            return len(group) == 1 and self._entered_stack(group[0])
        dtype = group[0].dtype
        names, shelf = self.shelves[dtype]
        group = sorted(group, key=lambda one: min((run.source, run.start) for run in one.member.way.runs))
        steps = joined_steps(
            [one.member for one in group],
            shelf,
            lambda i: self._values(self.source[names[i]], dtype),
            lambda i: self._values(self.target[group[i].name], dtype),
        )
        if steps is None:
            return False
        sources, targets = tuple(names[i] for i in steps.sources), tuple(one.name for one in group)
        rivals = frozenset().union(*(one.member.way.rivals for one in group))
        return self._settled(Match(sources, targets, " | ".join(steps.words), "value"), [names[i] for i in rivals])

    def _entered_stack(self, one: _Open) -> bool:
        """Enter a target whose rows are made of several sources each."""
        names, shelf = self.shelves[one.dtype]
        steps = joined_steps(
            [one.parts[0]],
            shelf,
            lambda i: self._values(self.source[names[i]], one.dtype),
            lambda _: self._values(self.target[one.name], one.dtype)[0],
        )
        if steps is None:
            return False
        rows = [tuple(dict.fromkeys(run.source for run in part.way.runs)) for part in one.parts]
        sources = tuple(names[i] for row in rows for i in row)
        rivals = frozenset().union(*(part.way.rivals for part in one.parts))
        match = Match(sources, (one.name,), " | ".join([*steps.words, "stack(0)"]), "value")
        return self._settled(match, [names[i] for i in rivals])

    def _take_apart(self, dtype: DType, wanted: Mapping[str, Fingerprint]) -> None:
        """Enter targets that are parts of the rows of a source."""
        names = [
            name
            for name in self.shelves[dtype][0]
            if len(self.source[name].shape) == EXPERTS and 1 not in self.source[name].shape
        ]
        found = taken_apart(
            wanted,
            names,
            lambda name: self._values(self.source[name], dtype),
            lambda name: self._values(self.target[name], dtype),
        )
        for one in found:
            self._enter(Match((one.source,), one.targets, one.ops, "value"))

    def _settled(self, match: Match, rivals: list[str]) -> bool:
        """Enter a match; where other slices hold the same values, rather what the names say of its targets."""
        named = [self._by_names().get(name) for name in match.targets] if rivals else [None]
        if all(one is not None and self._enter(one) for one in named):
            return True
        return self._enter(replace(match, doubt=several(sorted(rivals, key=self.names.index)) if rivals else ""))

    # ---- what values leave open ----

    def _by_name(self, name: str, candidates: list[str]) -> None:
        """Let names decide, as far as the values agree with them."""
        named = self._by_names().get(name)
        if named is not None and self._enter(named):
            return
        for chosen in candidates[:1]:
            doubt = several(candidates) if len(candidates) > 1 else "such values are in many tensors by chance"
            values = [self._values(item, self.target[name].dtype) for item in (self.source[chosen], self.target[name])]
            words = arrangement(values[0], values[1])
            if words is not None:
                self._enter(Match((chosen,), (name,), " | ".join(words), "value", doubt))

    def _by_names(self) -> dict[str, Match]:
        if self._named is None:
            matches = find(headers(self.source), headers(self.target))
            self._named = {name: match for match in matches for name in match.targets}
        return self._named

    def _enter(self, match: Match) -> bool:
        """Enter a match that gives its targets exactly, in place of those that it covers."""
        older = {old.targets for name in match.targets if (old := self.found.get(name))}
        if any(not set(names) <= set(match.targets) for names in older):
            return False
        if not replays(match, self.source, self.target):
            return False
        self.found |= dict.fromkeys(match.targets, match)
        return True


def _connected(opened: list[_Open]) -> Iterable[list[_Open]]:
    """Targets of one type that are made of the same sources, together."""
    groups: dict[tuple[DType, int], list[_Open]] = {}
    for one in opened:
        members = one.parts or (one.member,)
        keys = {(one.dtype, run.source) for member in members for run in member.way.runs}
        merged = [one]
        for group in list({id(groups[key]): groups[key] for key in keys if key in groups}.values()):
            merged = [*group, *merged]
        for item in merged:
            for member in item.parts or (item.member,):
                for run in member.way.runs:
                    groups[item.dtype, run.source] = merged
    return list({id(group): group for group in groups.values()}.values())
