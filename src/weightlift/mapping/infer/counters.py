"""Counters, positions and masks: they go where the weights beside them go."""

from __future__ import annotations

from collections.abc import Iterable

from ..resolve import Schema
from .beside import module_of, module_origins
from .match import Match


def counters(matches: Iterable[Match], source: Schema, target: Schema) -> list[Match]:
    """Return matches of targets that nothing was found for, by a module whose weights come from one place alone."""
    matches = list(matches)
    origins = module_origins(matches)
    doubts = {module_of(match.targets[0]): match.doubt for match in matches if match.doubt}
    made = {key for match in matches for key in match.targets}
    found = []
    for key, header in target.items():
        module = module_of(key)
        places = origins.get(module, set())
        if key in made or len(places) != 1:
            continue
        name = next(iter(places)) + key.removeprefix(module)
        if source.get(name) == header:
            found.append(Match((name,), (key,), "", "exact", doubts.get(module, "")))
    return found
