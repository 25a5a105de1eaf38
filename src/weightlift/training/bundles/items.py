"""The parts in a dict of any make: weights, optimizers and what has state by content, and the rest as plain data."""

from __future__ import annotations

from collections.abc import Iterator

from ...checkpoint import Checkpoint
from ...errors import worded
from ...paths import Index, Path, path_name
from ...pickles import Object
from ...tree import walk
from ...typed import Any
from . import roles
from .base import Bundle, Item
from .generators import generators

_DEEPEST = 6
_SUFFIXES = ("_state_dict", "_states", "_state", ".pth", ".pt")


def items_in(held: Any, bundle: Bundle, path: Path = (), home: Checkpoint | None = None) -> list[Item]:
    """Return the parts in a value: itself, or where it is a dict with live things in it, those one by one."""
    checkpoint = home or bundle.checkpoint
    found = list(_items(held, path, checkpoint, bundle, set()))
    for item in found:
        item.home = checkpoint
    return found


def _items(held: Any, path: Path, checkpoint: Checkpoint, bundle: Bundle, opened: set[int]) -> Iterator[Item]:
    """Go into dicts that have live things in them; into each once, however often it is met."""
    if held is None:
        if path:
            bundle.notes.append(f"{path_name(path)} is None, and no part")
    elif (item := _live(held, path, checkpoint) or _several(held, path, checkpoint)) is not None:
        yield item
    elif isinstance(held, dict) and id(held) not in opened and (not path or _holds_live(held, path, checkpoint)):
        opened.add(id(held))
        rng, keys, notes = generators(held, path)
        bundle.notes += notes
        if rng is not None:
            yield rng
        for key, value in held.items():
            if rng is None or key not in keys:
                yield from _items(value, (*path, key), checkpoint, bundle, opened)
    elif not path and isinstance(held, Object) and held.attributes:
        bundle.notes.append(f"the file is a {held.class_name}; its attributes are the parts")
        for key, value in held.attributes.items():
            yield from _items(value, (key,), checkpoint, bundle, opened)
    else:
        yield Item("value", held, path)


def _live(held: Any, path: Path, checkpoint: Checkpoint) -> Item | None:
    """Return the part for something that a live object takes; None for anything else."""
    if roles.is_optimizer(held):
        return Item("optimizer", held, path)
    if roles.is_weights_at(held, path, checkpoint):
        return Item("module", held, path)
    if path and roles.is_stateful(held, path):
        return Item("stateful", held, path)
    return None


def _several(held: Any, path: Path, checkpoint: Checkpoint) -> Item | None:
    """Return the part for a list or dict of nothing but live things."""
    if not path or not held:
        return None
    inner: dict[str, Item | None] = {}
    if isinstance(held, list | tuple):
        inner = {str(i): _live(value, (*path, Index(i)), checkpoint) for i, value in enumerate(held)}
    elif isinstance(held, dict) and len(held) > 1 and all(isinstance(key, str) and "/" not in key for key in held):
        inner = {key: _live(value, (*path, key), checkpoint) for key, value in held.items()}
    return Item("several", inner, path) if inner and all(inner.values()) else None


def _holds_live(held: Any, path: Path, checkpoint: Checkpoint) -> bool:
    """Whether something that a live object takes stands in a dict of dicts, no deeper than such things are."""
    if len(path) >= _DEEPEST or generators(held, path)[0] is not None:
        return len(path) < _DEEPEST
    return any(
        len(path) + len(where) <= _DEEPEST and _live(value, (*path, *where), checkpoint) is not None
        for where, value in walk(held, limits=checkpoint.limits, enter=lambda _, value: isinstance(value, dict))
    )


def name_all(bundle: Bundle) -> None:
    """Name every part: `model`, `optimizer`, `scheduler`, `scaler`, `ema` where one is plainly it; else as it was."""
    items = bundle.items
    modules = [item for item in items if _is_made_of(item, "module")]
    averages = [item for item in modules if roles.is_average(item.path)]
    models = [item for item in modules if item not in averages]
    named = [item for item in models if roles.is_named_weights(item.path)]
    _name(named if len(named) == 1 else models, "model", items)
    _name(averages, "ema", items)
    _name([item for item in items if _is_made_of(item, "optimizer")], "optimizer", items)
    stateful = [item for item in items if _is_made_of(item, "stateful")]
    _name([item for item in stateful if roles.is_scaler(item.value)], "scaler", items)
    _name([item for item in stateful if roles.last_word(item.path) in roles.SCHEDULERS], "scheduler", items)
    for item in sorted(items, key=lambda item: item.kind == "value"):  # plain data gives way
        if not item.name:
            item.name = _free(_own_name(item), items)


def _name(found: list[Item], name: str, items: list[Item]) -> None:
    if len(found) == 1 and found[0].kind != "several" and not found[0].name and all(i.name != name for i in items):
        found[0].name = name


def _is_made_of(item: Item, kind: str) -> bool:
    if item.kind == "several":
        return all(_is_made_of(inner, kind) for inner in item.value.values())
    return item.kind == kind


def _own_name(item: Item) -> str:
    name = path_name(item.path) if item.path else "value"
    if item.kind in ("module", "optimizer", "stateful", "several"):
        name = next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end) and name != end), name)
    name = "".join(c if c.isprintable() and c != "/" else "_" for c in worded(name))
    return name if name not in ("", "parts") else f"{name or 'unnamed'}_value"


def _free(name: str, items: list[Item]) -> str:
    taken = {item.name for item in items}
    while name in taken:
        name += "_value"
    return name
