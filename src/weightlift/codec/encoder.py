"""Python values as JSON. Everything that cannot be written is collected with its path, and said at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..dtypes import DTYPES
from ..errors import WeightliftError
from ..sources import Memory
from ..tensors import Storage
from ..tensors.from_live import LiveTensors
from ..tensors.lazy import contiguous
from ..typed import Any
from . import refusals
from .containers import is_unicode, mapping, pack
from .kinds import Kind, kind_of
from .places import DEEPEST, place, tensor_name
from .refusals import Refusal
from .scalars import EXACT

_OPEN: Any = object()
_NO_FORM: Any = None
_ATOMS = {type(None), bool, int, float, str, complex}
_SHORT = 16  # items; a tuple of so many atoms is written again where it is met again
_SHORT_NBYTES = 64


class Encoder:
    """Encodes the state of one checkpoint; tensors that share memory stay shared across all of it.

    `tensors` are those found so far by the name that their place gives them, lazily; `refusals` what
    cannot be written. Reads and copies no tensor of torch.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Any] = {}
        self.refusals: list[Refusal] = []
        self.root = ""
        self.steps: list[Any] = []
        self._live = LiveTensors()
        self._kinds: dict[type, Kind | None] = {}
        self._met: dict[int, tuple[Any, Any]] = {}  # id -> (the value, which keeps the id its own; its form)
        self._shared: dict[int, int] = {}  # id of a form -> its number

    def encode(self, value: Any, root: str) -> Any:
        """Return what JSON can hold of a value; `root` is what paths and tensor names begin with.

        An object met twice within one call is written once, and is one object again after decoding.
        Call `check` when everything is encoded.
        """
        self.root, self.steps, self._met, self._shared = root, [], {}, {}
        try:
            doc = self.value(value)
        except RecursionError:
            del self.steps[DEEPEST:]
            doc = self.refuse("is nested deeper than Python can follow from here", "save it flatter")
        made = _marked(doc, self._shared) if self._shared else doc
        self._met.clear()
        return made

    def add(self, name: str, tensor: Any) -> None:
        """Enter a live or lazy tensor under exactly this name."""
        self.root, self.steps = name, []
        if name in self.tensors and self.tensors[name] is not tensor:
            self.refuse("is the name of two tensors", "rename one of them")
        else:
            self._enter(name, tensor)

    def check(self) -> None:
        """Say everything that cannot be written.

        Raises:
            UnsupportedError: there is something; names the first twenty, each with its path and remedy.
        """
        refusals.check(self.refusals)

    # ---- what the kinds use ----

    def value(self, value: Any) -> Any:
        """Return the form of a value at the current place."""
        cls = type(value)
        if cls is str:
            if value.isascii() or is_unicode(value):
                return value
        elif cls is int:
            if -EXACT <= value <= EXACT:
                return value
        elif cls is float:
            if value - value == 0 and (value or math.copysign(1, value) > 0):
                return value
        elif value is None or cls is bool:
            return value
        kind = self._kind(cls)
        if kind is None:
            return self.refuse(*refusals.refusal_of(value))
        if len(self.steps) > DEEPEST:
            return self.refuse(f"is nested deeper than {DEEPEST}", "save it flatter")
        return self._once(kind, value) if kind.same and _has_identity(value) else kind.encode(self, value)

    def at(self, step: Any, value: Any) -> Any:
        """Return the form of a value one step further."""
        self.steps.append(step)
        doc = self.value(value)
        self.steps.pop()
        return doc

    def items(self, values: list[Any]) -> Any:
        """Return an array of the forms of values, or many numbers packed."""
        packed = pack(self, values)
        if packed is not None:
            return packed
        docs, steps = [], self.steps
        for position, value in enumerate(values):
            steps.append(position)
            docs.append(self.value(value))
            steps.pop()
        return docs

    def attributes(self, values: Mapping[str, Any]) -> Any:
        """Return the form of attributes by name."""
        steps = self.steps
        if not all(type(name) is str and name[:1] != "$" and is_unicode(name) for name in values):
            return mapping(self, values)
        if any(name.startswith("__") and name.endswith("__") for name in values):
            return self.refuse("has attributes that are Python's own", "save its other attributes as a dict")
        made = {}
        for name, value in values.items():
            steps.append(name)
            made[name] = self.value(value)
            steps.pop()
        return made

    def refuse(self, found: str, remedy: str) -> Any:
        """Note that the value at the current place cannot be written; None, for a kind to return."""
        self.refusals.append(Refusal(place(self.root, self.steps), found, remedy))
        return _NO_FORM

    def enter(self, tensor: Any) -> str | None:
        """Enter a tensor or array under the name of the current place; None where it is refused."""
        return self._enter(self._free_name(), tensor)

    def enter_bytes(self, raw: bytes) -> str:
        """Enter bytes as a tensor under the name of the current place."""
        name = self._free_name()
        storage = Storage(name, len(raw), Memory(raw))
        self.tensors[name] = contiguous(DTYPES["uint8"], (len(raw),), storage)
        return name

    # ---- inside ----

    def _kind(self, cls: type) -> Kind | None:
        if cls not in self._kinds:
            self._kinds[cls] = kind_of(cls)
        return self._kinds[cls]

    def _once(self, kind: Kind, value: Any) -> Any:
        """Return the form of an object, or where it was met before, a reference to that."""
        met = self._met.get(id(value))
        if met is None:
            self._met[id(value)] = (value, _OPEN)
            doc = kind.encode(self, value)
            self._met[id(value)] = (value, doc)
            return doc
        if met[1] is _OPEN:
            return self.refuse("holds itself", "save it without the cycle")
        if met[1] is None:
            return None  # refused before
        return {"$same": self._shared.setdefault(id(met[1]), len(self._shared))}

    def _free_name(self) -> str:
        name = wanted = tensor_name(self.root, self.steps)
        number = 1
        while name in self.tensors:
            number += 1
            name = f"{wanted}~{number}"
        return name

    def _enter(self, name: str, tensor: Any) -> str | None:
        try:
            held = self._live.lazy(name, tensor)
        except WeightliftError as error:
            self.refuse(f"cannot be written: {error.found}", error.remedy or error.expected)
            return None
        if held.absent:
            self.refuse(f"is a tensor without data ({held.absent})", "give it data, or leave it out")
            return None
        self.tensors[name] = held
        return name


def _has_identity(value: Any) -> bool:
    """Whether to look if an object was met before; short tuples of atoms are written again instead."""
    cls = type(value)
    if cls is tuple or cls is frozenset:
        return len(value) > _SHORT or not _ATOMS.issuperset(map(type, value))
    return cls is not bytes or len(value) > _SHORT_NBYTES


def _marked(doc: Any, shared: dict[int, int]) -> Any:
    """Return the document with the number of each shared form put around it where it stands."""
    left = dict(shared)
    waiting = [doc]
    while waiting:
        held = waiting.pop()
        places = held.items() if isinstance(held, dict) else enumerate(held)
        for key, part in list(places):
            if not isinstance(part, dict | list):
                continue
            waiting.append(part)
            if id(part) in left:
                held[key] = {"$shared": left.pop(id(part)), "is": part}
    return doc
