"""What every kind of part gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...codec import Encoder, decode
from ...errors import MalformedError, WeightliftError
from ...formats.step_parts import under
from ...mapping.apply import staged_values
from ...mapping.resolve import Resolution
from ...tensors.torch_modules import ModuleTarget
from ...tensors.values_as_torch import values_to_torch
from ...tree import storages_in
from ...typed import Any
from ...values import dataclass, field


@dataclass(slots=True)
class Reading:
    """Live parts being read into documents. Tensors are entered in the encoder, by their names in the data files."""

    encoder: Encoder
    parameters: Mapping[int, str]
    """The id of a live parameter -> the name of its weight: `model/fc.weight`."""
    choose: Callable[[str, str, Any], bool]
    """Whether an entry (part, key, tensor) of a module is wanted."""


@dataclass(slots=True)
class Change:
    """What is ready to be done to a live part. `commit` does it all or raises; `undo` takes back a commit."""

    commit: Callable[[], object]
    undo: Callable[[], object]


@dataclass(slots=True)
class Filling:
    """Documents being made ready to go into live parts: everything is read and checked, nothing is set."""

    tensors: Mapping[str, Any]
    """Name in the data files -> lazy tensor, of verified bytes."""
    parameters: Mapping[int, str]
    plans: Mapping[str, Any] = field(default_factory=dict)
    """The plan of each module part that has one."""
    modules: Mapping[str, Any] = field(default_factory=dict)
    """Every live module of the run, by its name."""
    types: tuple[type, ...] = ()
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def value(self, document: Any, name: str) -> Any:
        """Return the value of an encoded document, its tensors as torch tensors.

        Raises:
            MalformedError: it is no document of a value, or speaks of tensors that are not there.
        """
        try:
            return decode(document, self.torch, types=self.types)
        except WeightliftError as error:
            raise error.at(name) from None

    def under(self, name: str) -> dict[str, Any]:
        """Return the tensors of a part, by what follows its name."""
        return under(name, self.tensors)

    def is_shared(self, name: str) -> bool:
        """Whether a tensor of a part lies in the same memory as one of another part."""
        begin = f"{name}/"
        own: set[int] = set()
        others: set[int] = set()
        for key, value in self.tensors.items():
            (own if key.startswith(begin) else others).update(map(id, storages_in(value)))
        return not own.isdisjoint(others)

    def lazy(self, name: str, stride: tuple[int, ...] | None = None) -> Any:
        """Return a tensor as it was read, for values that are looked at and set later."""
        del stride
        if name not in self.tensors:
            raise MalformedError(f"no tensor {name!r}", expected="one of the data files")
        return self.tensors[name]

    def staged(self, resolution: Resolution, target: ModuleTarget, name: str) -> dict[str, Any]:
        """Return the torch tensors for the module of a name, everything read and nothing set."""
        del name
        return staged_values(resolution, target)

    def torch(self, name: str, stride: tuple[int, ...] | None = None) -> Any:
        """Return the torch tensor of a name, laid out as it was."""
        made = values_to_torch({name: self.lazy(name)})[name]
        if stride is None or tuple(made.stride()) == tuple(stride):
            return made
        laid_out = made.new_empty_strided(tuple(made.shape), tuple(stride))
        laid_out.copy_(made)
        return laid_out


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of part.

    `read(part, name, reading)` gives the document; `fill(document, part, name, filling)` enters the change that
    brings a live part to it in `filling.changes`, and returns what the part is afterwards.
    """

    name: str
    recognises: Callable[[str, Any], bool]
    read: Callable[[Any, str, Reading], dict[str, Any]]
    fill: Callable[[Mapping[str, Any], Any, str, Filling], Any]


def class_name(thing: Any) -> str:
    """Return the full name of an object's class."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
