"""A list or dict of parts: two optimizers, a generator and a discriminator."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import PlanError
from ...typed import Any
from .base import Filling, Kind, Reading
from .kinds import is_live, kind_named, kind_of


def _recognises(name: str, part: Any) -> bool:
    if isinstance(part, Mapping):
        return all(isinstance(key, str) for key in part) and any(is_live(name, item) for item in part.values())
    return isinstance(part, list | tuple) and any(is_live(name, item) for item in part)


def items_of(part: Any) -> dict[str, Any]:
    """Return the parts of several by their names: keys, or places from 0."""
    if isinstance(part, Mapping):
        return dict(part)
    return {str(i): item for i, item in enumerate(part)}


def _read(part: Any, name: str, reading: Reading) -> dict[str, Any]:
    items = {}
    for key, item in items_of(part).items():
        kind = kind_of(f"{name}/{key}", item)
        items[key] = {"kind": kind.name, **kind.read(item, f"{name}/{key}", reading)}
    return {"items": items}


def _fill(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> Any:
    if not isinstance(part, list | tuple | Mapping):
        raise PlanError(f"a {type(part).__name__}", expected="a list or dict of parts, as was saved", where=name)
    saved, live = document["items"], items_of(part)
    if set(saved) != set(live):
        raise PlanError(
            f"the run has {', '.join(live) or 'none'}", expected=f"what was saved: {', '.join(saved)}", where=name
        )
    filled = {
        key: kind_named(saved[key].get("kind"), f"{name}/{key}").fill(saved[key], item, f"{name}/{key}", filling)
        for key, item in live.items()
    }
    return filled if isinstance(part, Mapping) else type(part)(filled.values())


KIND = Kind("several", _recognises, _read, _fill)
