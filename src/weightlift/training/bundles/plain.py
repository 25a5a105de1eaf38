"""A dict that a training loop put together: `{"model": ..., "optimizer": ..., "epoch": ...}`, and anything else."""

from __future__ import annotations

from ...checkpoint import Checkpoint
from ...typed import Any
from .base import Bundle, Maker, step_of
from .items import items_in

_STEPS = ("global_step", "step", "iteration", "iter", "num_updates")


def _read(checkpoint: Checkpoint) -> Bundle:
    bundle = Bundle("plain", [], checkpoint)
    bundle.items = items_in(checkpoint.tree, bundle)
    tree: Any = checkpoint.tree if isinstance(checkpoint.tree, dict) else {}
    bundle.step = next((step_of(tree[name]) for name in _STEPS if step_of(tree.get(name)) is not None), None)
    return bundle


MAKER = Maker("plain", lambda _: True, _read)
