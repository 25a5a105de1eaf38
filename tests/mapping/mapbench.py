"""Recorded conversions: the names and shapes of both sides, and what each target tensor is made of.

A pair is `NAME.json` in the folder that WEIGHTLIFT_MAPBENCH names: `source` and `target` are lists of
[name, shape, dtype], `truth` says for each target which source tensors make it and by which operation,
`source_aliases` which source tensors are one. Every source element is given a number of its own, so that
two tensors are equal only where they hold the same elements of the same sources.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from weightlift.dtypes import DTYPES, DType
from weightlift.sources import Memory
from weightlift.tensors.lazy import Storage, Tensor, contiguous

FOLDER = Path(os.environ.get("WEIGHTLIFT_MAPBENCH", "no-such-folder"))

Array = np.ndarray[Any, Any]
Op = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """One conversion between two libraries."""

    name: str
    record: Mapping[str, Any]

    @classmethod
    def load(cls, name: str) -> Pair:
        """Return the pair of this name."""
        return cls(name, json.loads((FOLDER / f"{name}.json").read_text("utf-8")))

    @staticmethod
    def exists(name: str) -> bool:
        """Whether the folder holds a pair of this name."""
        return (FOLDER / f"{name}.json").is_file()

    @cached_property
    def ids(self) -> dict[str, Array]:
        """Source name -> a number for every element, as wide as the recorded dtype; tied sources have the same."""
        first = {name: group[0] for group in self.record["source_aliases"] for name in group}
        out: dict[str, Array] = {}
        start = 1
        for name, shape, dtype in self.record["source"]:
            if first.get(name, name) in out:
                out[name] = out[first[name]]
                continue
            count = math.prod(shape)
            kind = f"<i{DTYPES[dtype].bits // 8}"
            out[name] = np.arange(start, start + count, dtype=kind).reshape(shape)
            start += count
        return out

    @cached_property
    def source(self) -> dict[str, Tensor]:
        """The source's tensors, whose bits are the numbers of `ids`."""
        storages: dict[int, Storage] = {}
        out: dict[str, Tensor] = {}
        for name, shape, dtype in self.record["source"]:
            ids = self.ids[name]
            if id(ids) not in storages:
                data = Memory(ids.tobytes())
                storages[id(ids)] = Storage(str(len(storages)), data.size, data)
            out[name] = contiguous(DTYPES[dtype], tuple(shape), storages[id(ids)])
        return out

    @property
    def target(self) -> dict[str, tuple[tuple[int, ...], DType]]:
        """The target's names, shapes and dtypes."""
        return {name: (tuple(shape), DTYPES[dtype]) for name, shape, dtype in self.record["target"]}

    @property
    def truth(self) -> dict[str, Op]:
        """Target name -> the operation that makes it."""
        return self.record["truth"]

    def expected(self, name: str) -> Array:
        """Return the numbers of the elements that a target tensor is made of."""
        return carried_out(self.truth[name], self.ids)


def carried_out(op: Op, source: Mapping[str, Array]) -> Array:
    """Return what a recorded operation, and those that follow it, make of the source."""
    if op["op"] in ("concat", "stack"):
        parts = op.get("parts") or [{"op": "copy", "from": [name]} for name in op["from"]]
        join = np.concatenate if op["op"] == "concat" else np.stack
        made = join([carried_out(part, source) for part in parts], op["dim"])
    else:
        (name,) = op["from"]
        made = _step(op, source[name])
    then = op.get("then")
    while then:
        made = _step(then, made)
        then = then.get("then")
    return made


def _step(op: Op, array: Array) -> Array:
    match op["op"]:
        case "copy":
            return array
        case "reshape":
            return array.reshape(op["shape"])
        case "transpose":
            return array.transpose(op["perm"])
        case "slice":
            return array.take(range(op["offset"], op["offset"] + op["length"]), op["dim"])
        case "permute":
            return array.take(op["perm"], op["dim"])
    raise ValueError(op["op"])
