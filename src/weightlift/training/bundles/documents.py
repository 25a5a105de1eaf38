"""The parts of a bundle as the documents and tensors of a checkpoint directory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from ...codec import Encoder
from ...errors import PlanError, UnsupportedError, plural
from ...modules import is_module
from ...pickles import Global, Object
from ...tree import walk
from ...typed import Any
from ...values import dataclass
from . import roles
from .base import Bundle, Item
from .configs import plain_configs
from .optimizers import Homes, document_of, unnamed
from .weights import own_attributes, weights_of

Names = Mapping[str, Sequence[str]] | Sequence[str] | None
_MOST_TOLD = 4


@dataclass(frozen=True, slots=True)
class Documents:
    """What is to be written of a bundle, and what is worth knowing about it."""

    tensors: Mapping[str, Any]
    parts: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, str]
    """Part -> where it was found."""
    notes: tuple[str, ...]
    left: tuple[str, ...]


def documents_of(bundle: Bundle, *, without: Collection[str] = (), names: Names = None) -> Documents:
    """Return the documents of a bundle's parts. Reads headers only; tensors stay where they are.

    Raises:
        PlanError: an optimizer whose parameters cannot be named without guessing.
        UnsupportedError: what cannot be carried over, each by its path, or a part to leave out that is not there.
    """
    work = _Work(bundle, names, without)
    unknown = [name for name in without if name not in work.possible]
    if unknown:
        raise UnsupportedError(f"no part {unknown[0]!r} to leave out", expected=f"one of {', '.join(work.possible)}")
    for item in bundle.items:
        if item.name not in without:
            work.parts[item.name] = work.document(item, item.name)
            work.origins[item.name] = item.origin
    for name, module in work.whole.items():
        if name not in without:
            work.add_attributes(module, name)
    work.check()
    if not work.parts:
        raise UnsupportedError("no part to write", expected="anything that is not None")
    return Documents(work.encoder.tensors, work.parts, work.origins, tuple(work.notes), tuple(work.left))


class _Work:
    def __init__(self, bundle: Bundle, names: Names, without: Collection[str]) -> None:
        self.bundle = bundle
        self.encoder = Encoder()
        self.parts: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.notes = list(bundle.notes)
        self.left = list(bundle.left)
        self.weights = {name: weights_of(item) for name, item in _each(bundle.items) if item.kind == "module"}
        self.homes: Homes = {
            name: self.weights[name]
            for name, item in _each(bundle.items)
            if item.kind == "module" and not roles.is_average(item.path) and name.partition("/")[0] != "ema"
        }
        self.unnamed: list[tuple[str, PlanError]] = []
        self.optimizers = [name for name, item in _each(bundle.items) if item.kind == "optimizer"]
        self.names = self._names(names)
        self.whole = {
            f"{name.replace('/', '.')}.attributes": item
            for name, item in _each(bundle.items)
            if item.kind == "module" and is_module(item.value) and name.partition("/")[0] not in without
        }
        self.possible = [*(item.name for item in bundle.items), *self.whole]

    def _names(self, names: Names) -> Mapping[str, Sequence[str]]:
        if names is None:
            return {}
        given = names if isinstance(names, Mapping) else dict.fromkeys(self.optimizers, names)
        unknown = [name for name in given if name not in self.optimizers]
        if unknown or (not isinstance(names, Mapping) and len(self.optimizers) != 1):
            told = f"names for {unknown[0]!r}" if unknown else f"names, and {len(self.optimizers)} optimizers"
            expected = f"PART=FILE with one of {', '.join(self.optimizers)}" if self.optimizers else "an optimizer"
            raise UnsupportedError(told, expected=expected)
        return given

    def document(self, item: Item, name: str) -> dict[str, Any]:
        """Return the document of one part."""
        if item.kind == "module":
            self.notes += [f"{name}: {note}" for note in self.weights[name].notes]
            made = self.weights[name].document(name, self.encoder)
        elif item.kind == "optimizer":
            return {"kind": item.kind, **self._optimizer(item, name)}
        elif item.kind == "several":
            made = {"items": {key: {**self.document(inner, f"{name}/{key}")} for key, inner in item.value.items()}}
        elif item.kind == "rng":
            return {"kind": "rng", "states": self.encoder.encode(item.value, name)}
        elif item.kind == "stateful":
            self._note_code(item.value, name)
            made = {"class": None, "state": self.encoder.encode(item.value, name)}
        else:
            value, is_config = plain_configs(item.value)
            if is_config:
                self.notes.append(f"{name}: configurations of omegaconf are plain dicts and lists, without their types")
            made = {"value": self.encoder.encode(value, name)}
        return {"kind": item.kind, **made}

    def _optimizer(self, item: Item, name: str) -> dict[str, Any]:
        try:
            made, note = document_of(item.value, name, self.homes, self.names.get(name), self.encoder)
        except PlanError as error:
            self.unnamed.append((name, error))
            return {}
        self.notes.append(f"{name}: {note}")
        return made

    def _note_code(self, value: Any, name: str) -> None:
        """Tell of names of code in a state: they stay names."""
        found = {str(each) for _, each in walk(value) if isinstance(each, Global) and each.module != "torch"}
        found |= {each.class_name for _, each in walk(value) if isinstance(each, Object)}
        if found:
            told = ", ".join(sorted(found)[:_MOST_TOLD]) + (" ..." if len(found) > _MOST_TOLD else "")
            self.notes.append(f"{name}: names of code that are in it stay names: {told}")

    def add_attributes(self, item: Item, name: str) -> None:
        """Carry over what a whole pickled module has besides weights, as plain data; say what of it cannot be."""
        held = own_attributes(item.value)
        refused = [
            (path, key) for path, attributes in held.items() for key, value in attributes.items() if not _is_data(value)
        ]
        for path, key in refused:
            del held[path][key]
        made = self.encoder.encode(held, name)
        self.parts[name] = {"kind": "value", "value": made}
        self.origins[name] = item.origin
        if refused:
            told = ", ".join(f"{path}.{key}" if path else key for path, key in refused[:_MOST_TOLD])
            more = " ..." if len(refused) > _MOST_TOLD else ""
            self.left.append(
                f"{plural(len(refused), 'attribute')} of the pickled module at {item.origin!r}: {told}{more}"
            )

    def check(self) -> None:
        """Say what cannot be named or written, and which parts to leave out for the rest to be."""
        if self.unnamed:
            raise unnamed(self.unnamed, one=len(self.optimizers) == 1)
        refusals = self.encoder.refusals
        if not refusals:
            return
        parts = [name for name in self.parts if any(_is_of(each.place, name) for each in refusals)]
        try:
            self.encoder.check()
        except UnsupportedError as error:
            options = " ".join(f"--without {part}" for part in parts)
            raise UnsupportedError(error.found, remedy=f"leave out what it is in: {options}" if parts else "") from None


def _is_data(value: Any) -> bool:
    """Whether an attribute can be written, and is no other module."""
    if any(is_module(each) for _, each in walk(value)):
        return False
    trial = Encoder()
    trial.encode(value, "")
    return not trial.refusals


def _is_of(place: str, name: str) -> bool:
    return place.startswith(name) and not place[len(name) : len(name) + 1].isalnum()


def _each(items: list[Item]) -> Iterator[tuple[str, Item]]:
    """Give every part that is no several, by its name: those in several by the name of that, a slash and their own."""
    waiting = [(item.name, item) for item in reversed(items)]
    while waiting:
        name, item = waiting.pop()
        if item.kind != "several":
            yield name, item
            continue
        for key, inner in reversed(item.value.items()):
            inner.home = inner.home or item.home
            waiting.append((f"{name}/{key}", inner))
