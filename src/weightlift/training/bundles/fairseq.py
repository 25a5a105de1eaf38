"""A checkpoint of fairseq: `model`, `args` or `cfg`, `last_optimizer_state`, `optimizer_history`, `extra_state`.

What each is: fairseq/trainer.py, `Trainer.state_dict`. The scheduler's state is in the last record of the history.
"""

from __future__ import annotations

from ...checkpoint import Checkpoint
from ...paths import Index
from ...typed import Any
from .base import Bundle, Item, Maker, step_of
from .items import items_in


def _recognises(tree: Any) -> bool:
    if not isinstance(tree, dict) or "model" not in tree or not ("args" in tree or "cfg" in tree):
        return False
    return "optimizer_history" in tree or "last_optimizer_state" in tree


def _read(checkpoint: Checkpoint) -> Bundle:
    tree = checkpoint.tree
    bundle = Bundle("fairseq", [], checkpoint)
    for key, value in tree.items():
        bundle.items += items_in(value, bundle, (key,))
    history = tree.get("optimizer_history")
    last = history[-1] if isinstance(history, list) and history and isinstance(history[-1], dict) else {}
    if isinstance(scheduler := last.get("lr_scheduler_state"), dict):
        path = ("optimizer_history", Index(len(history) - 1), "lr_scheduler_state")
        bundle.items.append(Item("stateful", scheduler, path, "scheduler", checkpoint))
    bundle.step = step_of(last.get("num_updates"))
    return bundle


MAKER = Maker("fairseq", _recognises, _read)
