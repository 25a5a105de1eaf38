"""A checkpoint of Lightning: `state_dict`, `optimizer_states`, `lr_schedulers`, `callbacks`, `loops` and more.

https://lightning.ai/docs/pytorch/stable/common/checkpointing_basic.html says what is in one. The gradient
scaler stands under the name of its precision plugin, and is told by its content.
"""

from __future__ import annotations

from ...checkpoint import Checkpoint
from ...paths import Index
from ...typed import Any
from .base import Bundle, Item, Maker, step_of
from .items import items_in

_LISTS = {"optimizer_states": "optimizer", "lr_schedulers": "scheduler"}


def _recognises(tree: Any) -> bool:
    return isinstance(tree, dict) and "state_dict" in tree and "pytorch-lightning_version" in tree


def _read(checkpoint: Checkpoint) -> Bundle:
    bundle = Bundle("lightning", [], checkpoint)
    for key, value in checkpoint.tree.items():
        if key in _LISTS and isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            bundle.items.append(_listed(key, value, checkpoint))
        else:
            bundle.items += items_in(value, bundle, (key,))
    bundle.step = step_of(checkpoint.tree.get("global_step"))
    return bundle


def _listed(key: str, value: list[Any], checkpoint: Checkpoint) -> Item:
    """The only one of a list as itself, several as several."""
    kind: Any = "optimizer" if key == "optimizer_states" else "stateful"
    items = [Item(kind, each, (key, Index(i)), home=checkpoint) for i, each in enumerate(value)]
    one = items[0] if len(items) == 1 else Item("several", {str(i): each for i, each in enumerate(items)}, (key,))
    one.name = _LISTS[key]
    return one


MAKER = Maker("lightning", _recognises, _read)
