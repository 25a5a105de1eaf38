"""What else a target could have been made of: sources of its shape, those with the likest names first."""

from __future__ import annotations

from collections.abc import Collection

from ..resolve import Schema
from .names import likeness, tokens, weights_of
from .trees import squeezed, template

_MOST = 3


def runners_up(key: str, chosen: Collection[str], source: Schema, target: Schema) -> tuple[str, ...]:
    """Return the names of up to three sources that fit a target as well as the chosen ones, the likest first."""
    if key not in target:
        return ()
    wanted = squeezed(target[key][0] or ())
    shapes = {name: squeezed(shape or ()) for name, (shape, _) in source.items() if name not in chosen}
    fitting = [name for name, shape in shapes.items() if shape in (wanted, wanted[::-1])]
    weights = weights_of({template(tuple(name.split("."))) for side in (source, target) for name in side})
    words = {name: frozenset(tokens(name.split("."))) for name in (key, *fitting)}
    return tuple(sorted(fitting, key=lambda name: -likeness(words[key], words[name], weights))[:_MOST])
