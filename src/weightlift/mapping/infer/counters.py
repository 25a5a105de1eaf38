"""Counters, positions and masks: they go where the weights beside them go."""

from __future__ import annotations

from collections.abc import Iterable

from ..resolve import Schema
from .match import Match


def beside(matches: Iterable[Match], source: Schema, target: Schema) -> list[Match]:
    """Return matches of targets that nothing was found for, by a module whose weights come from one place alone."""
    matches = list(matches)
    homes: dict[str, set[tuple[str, str]]] = {}
    for match in matches:
        if len(match.sources) == len(match.targets) == 1:
            homes.setdefault(_module(match.targets[0]), set()).add((_module(match.sources[0]), match.doubt))
    made = {key for match in matches for key in match.targets}
    found = []
    for key, (shape, dtype) in target.items():
        places = homes.get(_module(key), set())
        if key in made or len({place for place, _ in places}) != 1:
            continue
        place, doubt = next(iter(places))
        name = f"{place}{key.removeprefix(_module(key))}"
        if source.get(name) == (shape, dtype):
            found.append(Match((name,), (key,), "", "exact", doubt))
    return found


def _module(key: str) -> str:
    return key[: key.rfind(".") + 1]
