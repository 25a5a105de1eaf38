"""Whether an inert value is what `pickle.loads` or `torch.load` made of the same bytes: types, order, identity."""

from __future__ import annotations

import collections
import struct
from typing import Any

import numpy as np
import torch

from weightlift.errors import shown
from weightlift.pickles import Blob, Dict, Global, Object
from weightlift.tensors import Tensor
from weightlift.tensors.arrays import Array

from strategies import element_bytes, name_of

_CLASSES = {collections.OrderedDict: "collections.OrderedDict", collections.defaultdict: "collections.defaultdict",
            collections.Counter: "collections.Counter"}  # fmt: skip
_ATOMS = (type(None), bool, int, float, complex, str, bytes)


class DifferenceError(AssertionError):
    """The two values are not alike; says where."""


class Comparison:
    """One pair of values, compared part by part; every pair of containers is met once."""

    def __init__(self) -> None:
        self.theirs: dict[int, int] = {}
        self.ours: dict[int, int] = {}
        self.kept: list[Any] = []
        self.storages: dict[int, int] = {}
        self.met: set[tuple[int, int]] = set()

    def same(self, ours: Any, theirs: Any, where: str = "$") -> None:
        """Raise DifferenceError unless both are alike."""
        waiting = [(ours, theirs, where)]
        while waiting:
            mine, other, at = waiting.pop()
            if isinstance(other, (*_ATOMS, np.generic, range)):
                _same_atom(mine, other, at)
            elif self._is_new(mine, other, at):
                waiting += self._parts(mine, other, at)

    def _is_new(self, ours: Any, theirs: Any, at: str) -> bool:
        """Whether this pair has not been met; both were, or neither."""
        if isinstance(theirs, tuple | frozenset) and not theirs:
            return True  # there is one of each, whatever was read
        self.kept += [ours, theirs]
        known = self.theirs.setdefault(id(theirs), id(ours)), self.ours.setdefault(id(ours), id(theirs))
        if known != (id(ours), id(theirs)):
            raise DifferenceError(f"{at}: shared with other values than there")
        if (id(ours), id(theirs)) in self.met:
            return False
        self.met.add((id(ours), id(theirs)))
        return True

    def _parts(self, ours: Any, theirs: Any, at: str) -> list[tuple[Any, Any, str]]:
        if isinstance(theirs, torch.Tensor):
            self._same_tensor(ours, theirs, at)
            return []
        if isinstance(theirs, np.ndarray):
            _same_array(ours, theirs, at)
            return []
        if isinstance(theirs, dict):
            wanted = _CLASSES.get(type(theirs))
            _hold(
                getattr(ours, "class_name", None) == wanted if wanted else type(ours) in (dict, Dict), at, ours, theirs
            )
            _hold(len(ours) == len(theirs), at, ours, theirs)
            keys = [(a, b, f"{at} key") for a, b in zip(ours, theirs, strict=True)]
            return keys + [
                (a, b, f"{at}[{shown(k, 30)}]") for a, (k, b) in zip(ours.values(), theirs.items(), strict=True)
            ]
        if isinstance(theirs, set | frozenset):
            _hold(type(ours) is type(theirs), at, ours, theirs)
            _hold(sorted(map(_spelled, ours)) == sorted(map(_spelled, theirs)), at, ours, theirs)
            return []
        if isinstance(theirs, bytearray):
            _hold((bytes(ours) if isinstance(ours, bytearray) else _blob(ours)) == theirs, at, ours, theirs)
            return []
        if isinstance(theirs, torch.dtype | torch.device):
            return []
        _hold(type(ours) is (tuple if isinstance(theirs, torch.Size) else type(theirs)), at, ours, theirs)
        _hold(len(ours) == len(theirs), at, ours, theirs)
        return [(a, b, f"{at}[{i}]") for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]

    def _same_tensor(self, ours: Any, theirs: torch.Tensor, at: str) -> None:
        _hold(isinstance(ours, Tensor), at, ours, theirs)
        _hold(ours.dtype.name == name_of(theirs.dtype), at, ours.dtype, theirs.dtype)
        _hold(ours.shape == tuple(theirs.shape), at, ours.shape, theirs.shape)
        _hold(theirs.numel() == 0 or ours.stride == theirs.stride(), at, ours.stride, theirs.stride())
        _hold(ours.requires_grad == theirs.requires_grad, at, ours.requires_grad, theirs.requires_grad)
        _hold(ours.tobytes() == element_bytes(theirs), at, ours.tobytes(), element_bytes(theirs))
        if theirs.untyped_storage().nbytes():
            key = theirs.untyped_storage().data_ptr()
            _hold(self.storages.setdefault(key, id(ours.storage)) == id(ours.storage), at, "storage", "shared")


def _same_array(ours: Any, theirs: np.ndarray[Any, Any], at: str) -> None:
    _hold(isinstance(ours, Array), at, ours, theirs)
    made = ours.tensor()
    _hold(made.shape == theirs.shape, at, made.shape, theirs.shape)
    _hold(made.tobytes() == theirs.astype(theirs.dtype.newbyteorder("<")).tobytes(), at, ours, theirs)


def _same_atom(ours: Any, theirs: Any, at: str) -> None:
    if isinstance(theirs, np.generic):
        theirs = theirs.item()
    if isinstance(theirs, range):
        _hold(isinstance(ours, Object) and ours.fn in (Global("builtins", "range"), Global("__builtin__", "xrange"))
              and ours.args == (theirs.start, theirs.stop, theirs.step), at, ours, theirs)  # fmt: skip
        return
    if isinstance(ours, Blob):
        ours = _blob(ours)
    _hold(type(ours) is type(theirs) and _spelled(ours) == _spelled(theirs), at, ours, theirs)


def _blob(value: Any) -> Any:
    return value.source.read_at(0, len(value)) if isinstance(value, Blob) else value


def _spelled(value: Any) -> str:
    """What tells a hashable value from every other one: floats by their bits."""
    value = _blob(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return f"float {struct.pack('>d', value).hex()}"
    if isinstance(value, complex):
        return f"complex {struct.pack('>2d', value.real, value.imag).hex()}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_spelled, value))})"
    if isinstance(value, frozenset):
        return f"frozenset({', '.join(sorted(map(_spelled, value)))})"
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    if isinstance(value, range | Object):
        return "range"
    return f"{type(value).__name__} {value!r}"


def _hold(alike: bool, at: str, ours: Any, theirs: Any) -> None:
    if not alike:
        raise DifferenceError(f"{at}: {shown(ours, 200)} here, {shown(theirs, 200)} there")
