"""Weights by name: an ordered, immutable mapping of lazy tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from .errors import StateDictError, UnsupportedError, WeightliftError
from .patterns import matcher
from .tensors import Composite, Tensor
from .tensors.lazy import AnyTensor
from .tree import tensors_in
from .typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .writers.safetensors import Progress, Written


class StateDict(Mapping[str, Any]):
    """What `module.state_dict()` gives, without reading a byte of it.

    Values are lazy tensors; where a module puts something else into its state dict (the packed
    parameters of quantised modules, extra state) they are that, as data. Keys keep their order.

    >>> sd = wl.open("model.pt").state_dict()
    >>> sd["layers.0.weight"].shape
    (512, 512)
    """

    __slots__ = ("_entries", "name", "notes", "versions")

    def __init__(
        self,
        entries: Mapping[str, Any],
        *,
        name: str = "",
        versions: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._entries = dict(entries)
        self.name = name
        self.versions = versions
        """The `_metadata` that torch hangs on a state dict: module path -> {"version": n}."""
        self.notes = notes
        """What may differ from the module's own answer, with the path of the module."""

    def __getitem__(self, key: str) -> Any:
        try:
            return self._entries[key]
        except KeyError:
            raise MissingKeyError(key, self._entries) from None

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @property
    def tensors(self) -> dict[str, AnyTensor]:
        """The entries that are tensors."""
        return {key: value for key, value in self._entries.items() if isinstance(value, Tensor | Composite)}

    @property
    def numel(self) -> int:
        """Elements of all tensors, those that are tied counted once."""
        return sum(tensor.numel for tensor in self._distinct())

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, those that are tied counted once."""
        return sum(tensor.nbytes for tensor in self._distinct())

    def _distinct(self) -> list[AnyTensor]:
        seen: dict[object, AnyTensor] = {}
        for tensor in self._held():
            seen.setdefault(tensor.view if isinstance(tensor, Tensor) and tensor.numel else id(tensor), tensor)
        return list(seen.values())

    def _held(self) -> Iterator[AnyTensor]:
        """Every tensor, those inside packed parameters and other values too."""
        for value in self._entries.values():
            yield from tensors_in(value)

    @property
    def ties(self) -> list[tuple[str, ...]]:
        """Groups of names that stand for one and the same view (tied weights)."""
        groups: dict[object, list[str]] = {}
        for key, tensor in self.tensors.items():
            if tensor.numel:
                groups.setdefault(tensor.view if isinstance(tensor, Tensor) else id(tensor), []).append(key)
        return [tuple(keys) for keys in groups.values() if len(keys) > 1]

    def check(self) -> None:
        """Hold every tensor against its storage. Reads no tensor.

        Raises:
            TensorError, TruncatedError: the first that does not fit, by its name.
        """
        for key, value in self._entries.items():
            try:
                for tensor in tensors_in(value):
                    tensor.check()
            except WeightliftError as error:
                error.at(repr(key))
                raise

    def select(self, *patterns: str) -> StateDict:
        """Return the entries whose name fits one of the patterns (`encoder.**`, `*.weight`), in their order.

        Raises:
            StateDictError: a pattern that fits no name.
        """
        fitting = self._fitting(patterns)
        return self._with({key: value for key, value in self._entries.items() if key in fitting})

    def drop(self, *patterns: str) -> StateDict:
        """Return the entries whose name fits none of the patterns.

        Raises:
            StateDictError: a pattern that fits no name.
        """
        fitting = self._fitting(patterns)
        return self._with({key: value for key, value in self._entries.items() if key not in fitting})

    def _fitting(self, patterns: tuple[str, ...]) -> set[str]:
        out: set[str] = set()
        for pattern in patterns:
            fits = matcher(pattern)
            found = {key for key in self._entries if fits(key)}
            if not found:
                raise StateDictError(f"pattern {pattern!r} fits no name", expected="at least one")
            out |= found
        return out

    def _with(self, entries: dict[str, Any]) -> StateDict:
        return StateDict(entries, name=self.name, versions=self.versions, notes=self.notes)

    def to_torch(self) -> dict[str, Any]:
        """Return an OrderedDict of torch tensors and values; those that shared a storage share it again.

        Fits `model.load_state_dict`. Reads every tensor.

        Raises:
            MissingDependencyError: torch is not installed.
            UnsupportedError: an entry that torch cannot be handed, by its name.
        """
        from collections import OrderedDict

        from .tensors.values_as_torch import values_to_torch

        made: OrderedDict[str, Any] = OrderedDict(values_to_torch(self._entries))
        for value in made.values():  # a state dict's tensors are detached, whatever the file says of them
            if getattr(value, "requires_grad", False):
                value.requires_grad_(requires_grad=False)
        if self.versions is not None:
            setattr(made, "_metadata", OrderedDict(self.versions))  # noqa: B010 - where load_state_dict looks for it
        return made

    def save(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Written:
        """Write a safetensors file, streamed; tied weights are written once and restored on reading.

        Raises:
            WriteError: the file cannot be written; nothing is left behind.
            TensorError, UnsupportedError: an entry that cannot be written, by its name.
        """
        if not self._entries:
            raise StateDictError("the state dict is empty", expected="at least one tensor")
        for key in self._entries:
            if not isinstance(key, str):
                raise UnsupportedError(f"key {key!r}", expected="names that are strings")
        from .writers import write_safetensors

        return write_safetensors(path, self._entries, versions=self.versions, progress=progress)

    def __repr__(self) -> str:
        return f"<StateDict {self.name!r}: {len(self)} entries, {self.nbytes} bytes>"


class MissingKeyError(StateDictError, KeyError):
    """A key that the state dict does not have; the message suggests the nearest names."""

    def __init__(self, key: object, known: Mapping[str, Any]) -> None:
        from difflib import get_close_matches

        near = get_close_matches(str(key), list(known)[:10_000], n=3, cutoff=0.6)
        remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
        StateDictError.__init__(self, f"no key {key!r}", remedy=remedy)

    __str__ = WeightliftError.__str__
