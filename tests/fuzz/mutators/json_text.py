"""JSON documents changed as trees: parts removed, replaced, moved, renamed, nested; now and then as text."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from . import raw

_ODD = (
    None,
    True,
    False,
    -1,
    0,
    1,
    2**31,
    2**63,
    2**64,
    10**40,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "a",
    [],
    {},
)


def changed_value(doc: Any, rng: random.Random, names: tuple[str, ...] = ()) -> Any:
    """The document with one to three parts changed; `names` are keys that mean something in it."""
    doc = copy.deepcopy(doc)
    for _ in range(rng.randint(1, 3)):
        places = _places(doc)
        if not places:
            return rng.choice(_ODD)
        _change(rng, *rng.choice(places), rng.choice(places), names)
    return doc


def _change(rng: random.Random, held: Any, key: Any, other: tuple[Any, Any], names: tuple[str, ...]) -> None:
    if (
        not isinstance(held, dict | list)
        or (isinstance(held, dict) and key not in held)
        or (isinstance(held, list) and key >= len(held))
    ):
        return
    value = held[key]
    how = rng.randrange(8)
    if how == 0:
        del held[key]
    elif how == 1:
        held[key] = copy.copy(rng.choice(_ODD))
    elif how == 2:
        donor = other[0]
        inside = (isinstance(donor, list) and other[1] < len(donor)) or (isinstance(donor, dict) and other[1] in donor)
        held[key] = copy.deepcopy(donor[other[1]]) if inside else None
    elif how == 3 and isinstance(held, dict):
        held[rng.choice(names) if names and rng.random() < 0.7 else raw.text(rng, key)] = held.pop(key)
    elif how == 4:
        held[key] = {rng.choice(names): value} if names else [value]
    elif isinstance(value, bool) or value is None:
        held[key] = rng.choice(_ODD)
    elif isinstance(value, int):
        held[key] = raw.number(rng, abs(value), rng.choice((8, 32, 63, 64, 70))) * rng.choice((1, 1, 1, -1))
    elif isinstance(value, float):
        held[key] = rng.choice((-value, value * 1e300, 0.0, float("-inf")))
    elif isinstance(value, str):
        held[key] = raw.text(rng, value)
    elif isinstance(value, list):
        held[key] = value * rng.randint(0, 3)
    else:
        held[key] = [value] * rng.randint(0, 2)


def _places(doc: Any) -> list[tuple[Any, Any]]:
    out: list[tuple[Any, Any]] = []
    waiting = [doc]
    while waiting and len(out) < 2000:
        held = waiting.pop()
        if isinstance(held, dict | list):
            for key, part in list(held.items()) if isinstance(held, dict) else enumerate(held):
                out.append((held, key))
                waiting.append(part)
    return out


def dumped(doc: Any) -> bytes:
    """The text, whatever is in the document."""
    return json.dumps(doc, separators=(",", ":")).encode("ascii")


def changed(data: bytes, rng: random.Random, names: tuple[str, ...] = ()) -> bytes:
    """The text of a changed document; of what is no JSON, or one time in eight, changed bytes."""
    if rng.randrange(8) == 0:
        return raw.changed(data, rng)
    try:
        doc = json.loads(data)
    except (ValueError, RecursionError):
        return raw.changed(data, rng)
    try:
        return dumped(changed_value(doc, rng, names))
    except (ValueError, RecursionError, MemoryError):
        return data
