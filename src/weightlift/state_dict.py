"""Weights by name: an ordered, immutable mapping of lazy tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from .errors import CollisionError, StateDictError, UnsupportedError, WeightliftError, shown
from .tensors import Composite, Tensor
from .tensors.computed import Computed
from .tensors.lazy import AnyTensor, check_together
from .tree import tensors_in
from .typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .differences import Difference
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
    def tensors(self) -> dict[str, AnyTensor | Computed]:
        """The entries that are tensors."""
        return {key: value for key, value in self._entries.items() if isinstance(value, Tensor | Composite | Computed)}

    @property
    def numel(self) -> int:
        """Elements of all tensors, those that are tied counted once."""
        return sum(tensor.numel for tensor in self._distinct())

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, those that are tied counted once."""
        return sum(tensor.nbytes for tensor in self._distinct())

    def _distinct(self) -> list[AnyTensor | Computed]:
        seen: dict[object, AnyTensor | Computed] = {}
        for tensor in self._held():
            seen.setdefault(_view(tensor) if tensor.numel else id(tensor), tensor)
        return list(seen.values())

    def _held(self) -> Iterator[AnyTensor | Computed]:
        """Every tensor, those inside packed parameters and other values too."""
        for value in self._entries.values():
            yield from tensors_in(value)

    @property
    def ties(self) -> list[tuple[str, ...]]:
        """Groups of names that stand for one and the same view (tied weights)."""
        groups: dict[object, list[str]] = {}
        for key, tensor in self.tensors.items():
            if tensor.numel:
                groups.setdefault(_view(tensor), []).append(key)
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
        from .patterns import pattern

        out: set[str] = set()
        for text in patterns:
            wanted = pattern(text)
            found = {key for key in self._entries if wanted.match(key) is not None}
            if not found:
                raise StateDictError(f"pattern {text!r} fits no name", expected="at least one")
            out |= found
        return out

    def rename(self, source: str, target: str) -> StateDict:
        """Return the same with every name that fits `source` spelled by `target` (`h.{i}.**`, `layers.{i}.**`).

        Raises:
            StateDictError: the pattern fits no name. CollisionError: two tensors for one name.
        """
        from .patterns import pattern

        fitting, spelled = self._fitting((source,)), pattern(target)
        wanted = pattern(source)
        pairs = [(spelled.spell(wanted.match(key) or {}) if key in fitting else key, key) for key in self._entries]
        return self._renamed(pairs)

    def add_prefix(self, prefix: str) -> StateDict:
        """Return the same with a prefix before every name."""
        return self._renamed([(prefix + key, key) for key in self._entries])

    def strip_prefix(self, prefix: str) -> StateDict:
        """Return the same without the prefix that every name has.

        Raises:
            StateDictError: a name begins otherwise; `select` those that do first.
        """
        other = next((key for key in self._entries if not key.startswith(prefix)), None)
        if other is not None:
            raise StateDictError(
                f"{other!r} does not begin with {prefix!r}", remedy=f"select({prefix + '**'!r}) first, to leave it out"
            )
        return self._renamed([(key.removeprefix(prefix), key) for key in self._entries])

    def _renamed(self, pairs: list[tuple[str, str]]) -> StateDict:
        made: dict[str, str] = {}
        for name, key in pairs:
            if name in made:
                raise CollisionError(
                    f"{made[name]!r} and {key!r} would both be called {name!r}", expected="each name once"
                )
            made[name] = key
        return self._with({name: self._entries[key] for name, key in pairs}, _moved(self.versions, pairs))

    def merge(self, *others: Mapping[str, Any]) -> StateDict:
        """Return all entries of this and the others, in this order.

        Raises:
            CollisionError: a name is in two of them.
        """
        entries = dict(self._entries)
        versions = None if self.versions is None else dict(self.versions)
        for i, each in enumerate(others):
            other = _as_state_dict(each)
            for key, value in other.items():
                if key in entries:
                    raise CollisionError(
                        f"{key!r} is in {self.name or 'the first'} and in {other.name or f'the {i + 2}th'}",
                        remedy="add_prefix or drop one of them",
                    )
                entries[key] = value
            if other.versions is not None:
                versions = {**other.versions, **(versions or {})}
        return self._with(entries, versions)

    def cast(self, dtype: str, *, overflow: bool = False) -> StateDict:
        """Return the floating point tensors in another element type; others stay as they are.

        Raises (when the values are computed):
            OverflowingError: a finite value would become infinite, unless `overflow` allows it.
        """
        from .dtypes import dtype_named
        from .tensors.casting import cast

        wanted = dtype_named(dtype)
        cast_to = {
            key: cast(value, wanted, overflow=overflow)
            for key, value in self._entries.items()
            if isinstance(value, Tensor | Computed) and "float" in value.dtype.name
        }
        return self._with(self._entries | cast_to)

    def equals(self, other: Mapping[str, Any], *, tolerance: float | None = 0.0) -> bool:
        """Whether both have the same names, shapes, types and values.

        `tolerance` is relative to the largest value of each tensor; None derives it from the type. With
        0 the bytes are compared, so that NaNs are equal to themselves and -0.0 is not 0.0.
        """
        return not self.diff(other, tolerance=tolerance)

    def diff(self, other: Mapping[str, Any], *, tolerance: float | None = 0.0) -> list[Difference]:
        """Return what differs from another state dict, tensor by tensor. Reads those that both have."""
        from .differences import differences

        return differences(self._entries, _as_state_dict(other), tolerance)

    def to_numpy(self) -> dict[str, Any]:
        """Return numpy arrays by name. Reads every tensor.

        Raises:
            UnsupportedError: an entry that is no single array, by its name.
        """
        out = {}
        check_together(value for value in self._entries.values() if isinstance(value, Tensor))
        for key, value in self._entries.items():
            if not isinstance(value, Tensor | Composite | Computed):
                raise UnsupportedError(f"{key!r} is {shown(value, 60)}", expected="a tensor", remedy="drop it first")
            try:
                out[key] = value.numpy()
            except WeightliftError as error:
                error.at(repr(key))
                raise
        return out

    @classmethod
    def of(cls, values: Mapping[str, Any], *, name: str = "") -> StateDict:
        """Return a state dict of torch tensors, numpy arrays or lazy tensors; nothing is copied."""
        from .tensors.from_live import lazy_values

        metadata = getattr(values, "_metadata", None)
        return cls(lazy_values(values), name=name, versions=metadata)

    @classmethod
    def from_module(cls, module: Any) -> StateDict:
        """Return the state dict of a live torch module; nothing is copied."""
        from .tensors.from_live import lazy_values, module_values

        values, metadata = module_values(module)
        return cls(lazy_values(values), name=type(module).__name__, versions=metadata)

    @classmethod
    def from_modules(cls, **modules: Any) -> StateDict:
        """Return one state dict of several modules, each under its name: what `destination` and `prefix` were for.

        >>> list(wl.StateDict.from_modules(encoder=encoder, decoder=decoder))[:1]
        ['encoder.weight']
        """
        from .tensors.from_live import lazy_values, module_values

        entries: dict[str, Any] = {}
        versions: dict[str, Any] = {}
        for name, module in modules.items():
            values, metadata = module_values(module)
            entries |= {f"{name}.{key}": value for key, value in values.items()}
            versions |= {f"{name}.{path}".rstrip("."): version for path, version in (metadata or {}).items()}
        return cls(lazy_values(entries), versions=versions)

    def _with(self, entries: dict[str, Any], versions: Mapping[str, Any] | None = None) -> StateDict:
        kept = self.versions if versions is None else versions
        return StateDict(entries, name=self.name, versions=kept, notes=self.notes)

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

    def save(
        self,
        path: str | os.PathLike[str],
        max_shard_bytes: int | None = None,
        *,
        progress: Progress | None = None,
    ) -> Written:
        """Write a safetensors file, streamed; tied weights are written once and restored on reading.

        With `max_shard_bytes`, what is larger goes into several files beside an index, which is what to open
        then: `NAME-00001-of-0000N.safetensors` and `NAME.safetensors.index.json`. An entry stays whole, and
        those that share memory stay together, however large.

        Raises:
            WriteError: the file cannot be written; nothing is left behind.
            TensorError, UnsupportedError: an entry that cannot be written, by its name.
        """
        if not self._entries:
            raise StateDictError("the state dict is empty", expected="at least one tensor")
        for key in self._entries:
            if not isinstance(key, str):
                raise UnsupportedError(f"key {shown(key)}", expected="names that are strings")
        if max_shard_bytes is not None:
            from .writers.shards import write_shards

            return write_shards(path, self._entries, max_shard_bytes, versions=self.versions, progress=progress)
        from .writers import write_safetensors

        return write_safetensors(path, self._entries, versions=self.versions, progress=progress)

    def __repr__(self) -> str:
        return f"<StateDict {self.name!r}: {len(self)} entries, {self.nbytes} bytes>"


def _view(tensor: AnyTensor | Computed) -> object:
    """What is equal for names that stand for one and the same tensor."""
    return id(tensor) if isinstance(tensor, Composite) else tensor.view


def _as_state_dict(values: Mapping[str, Any]) -> StateDict:
    return values if isinstance(values, StateDict) else StateDict.of(values)


def _moved(versions: Mapping[str, Any] | None, pairs: list[tuple[str, str]]) -> Mapping[str, Any] | None:
    """The versions under the paths that modules have after (new name, old name) pairs.

    `h.0.norm.weight` as `layers.0.norm.weight` moves `h.0.norm`, `h.0` and `h`; what is below a module
    that moves, and has no name of its own here, goes with it.
    """
    if versions is None:
        return None
    moved: dict[str, dict[str, None]] = {}
    for pair in pairs:
        new, old = ([*reversed(name.split(".")), ""] for name in pair)
        for n, (a, b) in enumerate(zip(new, old, strict=False)):
            moved.setdefault(_path(old[n:]), {})[_path(new[n:])] = None
            if a != b:
                break
    out: dict[str, Any] = {}
    for path, version in versions.items():
        parts = path.split(".") if path else []
        above = next((n for n in range(len(parts), -1, -1) if ".".join(parts[:n]) in moved), None)
        for home in [None] if above is None else moved[".".join(parts[:above])]:
            out[path if home is None else ".".join(filter(None, [home, *parts[above:]]))] = version
    return out


def _path(backwards: list[str]) -> str:
    return ".".join(filter(None, reversed(backwards)))


class MissingKeyError(StateDictError, KeyError):
    """A key that the state dict does not have; the message suggests the nearest names."""

    def __init__(self, key: object, known: Mapping[str, Any]) -> None:
        from difflib import get_close_matches

        near = get_close_matches(str(key), list(known)[:10_000], n=3, cutoff=0.6)
        remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
        StateDictError.__init__(self, f"no key {key!r}", remedy=remedy)

    __str__ = WeightliftError.__str__
