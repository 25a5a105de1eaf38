"""Small checkpoints that the tests of directories write, and what is found of them afterwards."""

from __future__ import annotations

import os
import struct

from weightlift.dtypes import DTYPES
from weightlift.formats.step import open_step
from weightlift.sources import Memory
from weightlift.tensors import Storage
from weightlift.tensors.lazy import contiguous
from weightlift.writers.leftovers import settled
from weightlift.writers.step import write_step

SHAPES = {"model/a": (5, 3), "model/b": (7,), "model/none": (0, 4), "optimizer/model/a/m": (5, 3), "meta/x": ()}


def tensor_of(values, shape, dtype="float32"):
    """A lazy tensor of these bytes."""
    data = struct.pack(f"<{len(values)}f", *values) if dtype == "float32" else bytes(values)
    return contiguous(DTYPES[dtype], shape, Storage("t", len(data), Memory(data)))


def tensors_of(mark):
    """Tensors whose every value tells which checkpoint they belong to."""
    made = {}
    for i, (name, shape) in enumerate(SHAPES.items()):
        numel = 1
        for size in shape:
            numel *= size
        made[name] = tensor_of([mark + i / 16] * numel, shape)
    return made


def state_of(mark):
    """A state document that tells which checkpoint it belongs to."""
    return {"weightlift_state": 1, "parts": {"meta": {"kind": "value", "value": mark}}}


def save(path, mark, **options):
    """Write the checkpoint of that mark, in several data files."""
    options = {"max_file_bytes": 100, "step": mark, "metrics": {"loss": mark / 2}, **options}
    return write_step(path, tensors_of(mark), state_of(mark), **options)


def found(path):
    """The mark of the whole checkpoint that a reader finds, or None where there is none at all."""
    if not os.path.lexists(settled(path)):
        return None
    step = open_step(path)
    mark = step.manifest.step
    assert step.state == state_of(mark)
    assert {name: each.tobytes() for name, each in step.tensors.items()} == {
        name: each.tobytes() for name, each in tensors_of(mark).items()
    }
    return mark


if __name__ == "__main__":  # what the tests run under strace: `step_saves.py PATH MARK`
    import sys

    import weightlift

    try:
        save(sys.argv[1], int(sys.argv[2]))
    except weightlift.WeightliftError as error:
        sys.stdout.write(type(error).__name__)
        sys.exit(3)
