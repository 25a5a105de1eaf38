"""Configurations of omegaconf as plain dicts and lists: every node of one holds its parent, which no JSON can."""

from __future__ import annotations

from ...pickles import Object
from ...tree import walk
from ...typed import Any

_DEEPEST = 100


def plain_configs(value: Any) -> tuple[Any, bool]:
    """Return (the value with configurations as plain data, whether there was one); interpolations stay texts."""
    if not any(_is_config(each) for _, each in walk(value)):
        return value, False
    return _plain(value, 0, {}), True


def _is_config(value: Any) -> bool:
    return isinstance(value, Object) and not value.is_call and value.class_name.startswith("omegaconf.")


def _plain(value: Any, depth: int, made: dict[int, Any]) -> Any:
    """Rebuild dicts and lists; what is met again, is what it became."""
    if depth > _DEEPEST or id(value) in made:
        return made.get(id(value), value)
    if _is_config(value):
        held = value.attributes
        if "_content" not in held and "_val" not in held:
            return value  # a record about a node
        made[id(value)] = value  # a cycle ends here, and is refused where it is written
        made[id(value)] = _plain(held.get("_content", held.get("_val")), depth + 1, made)
    elif type(value) is dict:
        made[id(value)] = value
        made[id(value)] = {key: _plain(item, depth + 1, made) for key, item in value.items()}
    elif type(value) in (list, tuple):
        made[id(value)] = value
        made[id(value)] = type(value)([_plain(item, depth + 1, made) for item in value])
    else:
        return value
    return made[id(value)]
