"""Orbax, in an environment of its own (`orbax-checkpoint`, no torch), with the same shapes as arrays of jax.

    python benchmarks/training_orbax.py TASK WAY SIZE FOLDER TIMES

Its save without waiting is not compared: arrays of jax never change, so that nothing has to be copied.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

import page_cache
from training_child import clear, measure, say
from training_state import MOMENTS, shapes


def run(task: str, way: str, size: str, folder: str, times: str) -> dict[str, Any]:
    """Return what a task says, see `measure`."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    del way
    rng = np.random.default_rng(0)
    model = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes(size).items()}
    tree: dict[str, Any] = {"model": model}
    if size != "small":
        tree["optimizer"] = {field: {name: array * 0.1 for name, array in model.items()} for field in MOMENTS}
    tree = jax.tree.map(jax.numpy.asarray, tree)
    path = os.path.join(os.path.abspath(folder), "out")
    checkpointer = ocp.StandardCheckpointer()

    def save() -> None:
        checkpointer.save(path, tree, force=True)
        checkpointer.wait_until_finished()

    if task == "make":
        save()
        return {}
    if task == "save":
        return measure(save, int(times), before=(lambda _: None) if size == "small" else (lambda _: clear(path)))
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
    ready = page_cache.drop if task == "cold" else page_cache.warm
    return measure(
        lambda: jax.block_until_ready(checkpointer.restore(path, abstract)), int(times), before=lambda _: ready(path)
    )


if __name__ == "__main__":
    folder = sys.argv[4]
    os.makedirs(folder, exist_ok=True)
    say(run, *sys.argv[1:])
    if sys.argv[1] == "save":
        shutil.rmtree(folder)
