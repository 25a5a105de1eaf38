"""State dict hooks of torch's own that are known by name, and what each does to the state dict.

Any other hook is code that only the file's author knows; it becomes a note.
"""

from __future__ import annotations

from collections.abc import Callable

from ..pickles import Global, Object
from ..pickles.script_objects import script_state
from ..typed import Any
from ..values import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """What a hook is called with: the module's attributes, all entries so far, its prefix, its metadata."""

    hook: Any
    attributes: dict[Any, Any]
    entries: dict[str, Any]
    prefix: str
    metadata: dict[str, Any]


def _spectral_norm(call: Call) -> None:
    """torch/nn/utils/spectral_norm.py: no entry, but the version of the method beside the module's own."""
    method = call.hook.attributes.get("fn")
    name = method.attributes.get("name", "weight") if isinstance(method, Object) else "weight"
    call.metadata.setdefault("spectral_norm", {})[f"{name}.version"] = 1


def _packed_weights(call: Call) -> None:
    """torch/ao/quantization/fx: every packed weight among the attributes, by name in the order of `dir`."""
    for name in sorted(key for key in call.attributes if isinstance(key, str) and "_packed_weight" in key):
        if script_state(call.attributes[name]) is not None:
            call.entries[call.prefix + name] = call.attributes[name]


def _unwrap_checkpointed(call: Call) -> None:
    """torch/distributed/algorithms/_checkpoint/checkpoint_wrapper.py: its own step in the names goes."""
    wrapped = f"{call.prefix}_checkpoint_wrapped_module."
    for key in [key for key in call.entries if key.startswith(wrapped)]:
        call.entries[call.prefix + key.removeprefix(wrapped)] = call.entries.pop(key)


_WRAPPER = "torch.distributed.algorithms._checkpoint.checkpoint_wrapper"

KNOWN_HOOKS: dict[str, Callable[[Call], None]] = {
    "torch.nn.utils.spectral_norm.SpectralNormStateDictHook": _spectral_norm,
    "torch.ao.quantization.fx._lower_to_native_backend._save_packed_weight": _packed_weights,
    "torch.ao.quantization.fx.graph_module._save_packed_weight": _packed_weights,
    **{
        f"{_WRAPPER}.{name}._post_state_dict_hook": _unwrap_checkpointed
        for name in ("ActivationWrapper", "CheckpointWrapper", "OffloadWrapper")
    },
}
"""Hook name -> what it does."""


def hook_name(hook: Any) -> str:
    """Return the dotted name of a pickled hook: a function, a bound method, or an instance's class."""
    if isinstance(hook, Global):
        return str(hook)
    if isinstance(hook, Object) and hook.args:
        if hook.class_name.endswith(".getattr") and len(hook.args) == 2 and isinstance(hook.args[1], str):
            owner = hook.args[0]
            return f"{owner if isinstance(owner, Global) else getattr(owner, 'class_name', '?')}.{hook.args[1]}"
        if isinstance(hook.args[0], Global):
            return str(hook.args[0])
    return getattr(hook, "class_name", "?")
