"""The weights of a part by name: a state dict as it is, or that of a whole pickled module."""

from __future__ import annotations

from collections.abc import Mapping

from ...codec import Encoder
from ...mapping.wrappers import TRANSPARENT
from ...modules.module import is_module, module_attributes
from ...pickles import Dict, Object
from ...selection import find_candidates
from ...state_dict import StateDict
from ...tensors import Composite, Tensor
from ...tensors.computed import Computed, Lazy
from ...typed import Any
from ...values import dataclass
from ..parts.documents import module_document
from .base import Item

_TRANSPARENT = tuple(f"{word}." for word in TRANSPARENT)
"""What a resume looks inside of, too."""

_ORDERED = ("torch-zip", "torch-legacy", "torch-tar", "torchscript", "pickle", "archive")
"""Formats whose state dicts have the order of the module. Others sort their names, or may have: safetensors do."""

_OF_TORCH = frozenset(
    """
    training _parameters _buffers _modules _non_persistent_buffers_set _backward_pre_hooks _backward_hooks
    _is_full_backward_hook _forward_hooks _forward_hooks_with_kwargs _forward_hooks_always_called _forward_pre_hooks
    _forward_pre_hooks_with_kwargs _state_dict_hooks _state_dict_pre_hooks _load_state_dict_pre_hooks
    _load_state_dict_post_hooks _backend
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""Attributes that every module of torch has."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights under the names that a live module gives them."""

    entries: Mapping[str, Any]
    versions: Mapping[str, Any] | None
    class_name: str | None
    stripped: str
    """What every name had before it, and has no longer: "module."."""
    notes: tuple[str, ...]
    is_ordered: bool
    """Whether the order of the names is that of the module, which optimizers count by."""

    def document(self, name: str, encoder: Encoder) -> dict[str, Any]:
        """Return the document of a module part; its tensors are entered in the encoder."""
        tensors = {key for key, value in self.entries.items() if isinstance(value, Tensor | Composite | Computed)}
        about: dict[str, Any] = {"class_name": self.class_name, "versions": self.versions}
        return module_document(name, self.entries, tensors, encoder, **about)

    @property
    def tensors(self) -> dict[str, Lazy]:
        """The entries that moments can belong to."""
        return {key: value for key, value in self.entries.items() if isinstance(value, Tensor | Computed)}


def weights_of(item: Item) -> Weights:
    """Return the weights of a module part. Reads no tensor."""
    state_dict = _state_dict(item)
    stripped, names = "", list(state_dict)
    while before := next((each for each in _TRANSPARENT if names and all(n.startswith(each) for n in names)), ""):
        stripped += before
        names = [name.removeprefix(before) for name in names]
    versions = state_dict.versions
    if stripped and versions is not None:
        versions = {_inside(key, stripped): version for key, version in versions.items() if _is_inside(key, stripped)}
    notes = list(state_dict.notes)
    if stripped:
        notes.append(f"every name began with {stripped!r}, which is left out, as for a live module that is wrapped")
    class_name = item.value.class_name if isinstance(item.value, Object) else None
    is_pickled = not (
        isinstance(item.value, Dict) and item.value.class_name == "dict"
    )  # what other formats are read as
    is_ordered = is_pickled and item.home is not None and item.home.format in _ORDERED
    return Weights(
        dict(zip(names, state_dict.values(), strict=True)), versions, class_name, stripped, tuple(notes), is_ordered
    )


def _state_dict(item: Item) -> StateDict:
    reader = item.home.module_reader if item.home is not None else None
    candidates = find_candidates(item.value, item.home.limits, reader) if item.home is not None else []
    return candidates[0].state_dict if candidates else StateDict({})


def _inside(key: str, stripped: str) -> str:
    return key.removeprefix(stripped) if key.startswith(stripped) else ""


def _is_inside(key: str, stripped: str) -> bool:
    return key.startswith(stripped) or key == stripped.removesuffix(".")


def own_attributes(module: Any) -> dict[str, dict[str, Any]]:
    """Return what the modules of a pickled module have besides weights: path -> class and attributes.

    Buffers that are not persistent are among them: no state dict has them.
    """
    out: dict[str, dict[str, Any]] = {}
    waiting = [("", module)]
    while waiting:
        path, each = waiting.pop()
        held = module_attributes(each) or {}
        own = {key: value for key, value in held.items() if isinstance(key, str) and key not in _OF_TORCH}
        hidden, buffers = held.get("_non_persistent_buffers_set") or (), held.get("_buffers")
        if isinstance(buffers, dict):
            own |= {key: value for key, value in buffers.items() if key in hidden}
        out[path] = {"class": each.class_name, **({"training": held["training"]} if "training" in held else {}), **own}
        children = held.get("_modules")
        inner = children.items() if isinstance(children, dict) else ()
        waiting += [(f"{path}.{key}" if path else key, child) for key, child in reversed(inner) if is_module(child)]
    return out
