"""The state dict of an inert module tree.

Follows `torch.nn.Module.state_dict`: parameters, then persistent buffers, then submodules, each in the
order of registration, names joined by dots. What only the class's code could tell becomes a note.
"""

from __future__ import annotations

from typing import Any

from ..errors import LimitError, TensorError
from ..limits import DEFAULT_LIMITS, Limits
from ..pickles import Blob, Global, Object
from ..state_dict import StateDict
from ..tensors import Composite, Tensor
from .special import SPECIAL

_HOOKS = ("_state_dict_hooks", "_state_dict_pre_hooks")
_PLAIN_TORCH = ("torch.nn.modules.", "torch.nn.parallel.", "torch.ao.nn.", "torch.nn.quantized.", "torch._dynamo.")

# fx rebuilds its modules by a call whose first argument is the module's __dict__
_FX_CALLS = {
    Global("torch.fx.graph_module", "reduce_graph_module"),
    Global("torch.fx.graph_module", "reduce_package_graph_module"),
    Global("torch.fx.graph_module", "reduce_deploy_graph_module"),
}


def module_attributes(value: Any) -> dict[Any, Any] | None:
    """Return the `__dict__` of a pickled module, or None where the value is no module."""
    if not isinstance(value, Object):
        return None
    if value.is_call and value.fn in _FX_CALLS:
        position = 1 if isinstance(value.fn, Global) and value.fn.name == "reduce_deploy_graph_module" else 0
        attributes: dict[Any, Any] = next((a for a in value.args[position:] if isinstance(a, dict)), {})
    else:
        attributes = value.attributes
    found = attributes.get("_parameters"), attributes.get("_modules")
    return attributes if all(isinstance(part, dict) for part in found) else None


def is_module(value: Any) -> bool:
    """Whether a value is a pickled `nn.Module`: an object with `_parameters` and `_modules`."""
    return module_attributes(value) is not None or (isinstance(value, Object) and value.class_name in SPECIAL)


def module_state_dict(module: Object, name: str = "", limits: Limits = DEFAULT_LIMITS) -> StateDict:
    """Return what `module.state_dict()` would give, with notes on what its class could have changed.

    Raises:
        TensorError: something that is no tensor stands among the parameters or buffers.
        LimitError: modules nested too deep (or within themselves).
    """
    reader = _Reader(limits)
    reader.read(module, "", 0)
    if reader.foreign:
        listed = ", ".join(list(reader.foreign)[:6]) + (" ..." if len(reader.foreign) > 6 else "")
        reader.notes.append(
            f"{len(reader.foreign)} classes that are not torch's own could override state_dict(): {listed}"
        )
    return StateDict(reader.entries, name=name, versions=reader.versions, notes=tuple(reader.notes))


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.entries: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.notes: list[str] = []
        self.foreign: dict[str, str] = {}  # class -> path of its first instance

    def read(self, module: Object, prefix: str, depth: int) -> None:
        if depth > min(self.limits.depth, 200):
            raise LimitError(f"modules nested deeper than {depth - 1}, at {prefix[:80]!r}")
        class_name = module.class_name
        where = prefix.removesuffix(".") or "the module itself"
        attributes = module_attributes(module) or {}
        special = SPECIAL.get(class_name)
        if not class_name.startswith(_PLAIN_TORCH) and special is None:
            self.foreign.setdefault(class_name, where)
        for hook in _HOOKS:
            if hooks := attributes.get(hook):
                names = ", ".join(_hook_name(h) for h in hooks.values()) if isinstance(hooks, dict) else "?"
                self.notes.append(f"{where}: a hook may change the state dict ({names})")
        if nested := [key for key, held in _bytes_in(attributes) if held[:4] == b"PK\3\4"]:
            self.notes.append(
                f"{where}: its own state holds {len(nested)} archives as bytes ({', '.join(nested[:3])}); "
                "tensors inside them are not listed"
            )
        self.versions[prefix.removesuffix(".")] = {"version": special.version if special else 1}
        if special is not None:
            for key, value in special.own_entries(module):
                self._put(prefix + key, value)
        else:
            self._own_entries(attributes, prefix)
        submodules = attributes.get("_modules")
        for name, child in submodules.items() if isinstance(submodules, dict) else ():
            if child is None:
                continue
            if not is_module(child):
                self.notes.append(f"{prefix}{name}: stands among the submodules and is {child!r:.60}; left out")
                continue
            self.read(child, f"{prefix}{name}.", depth + 1)

    def _own_entries(self, attributes: dict[Any, Any], prefix: str) -> None:
        hidden = attributes.get("_non_persistent_buffers_set")
        skipped = hidden if isinstance(hidden, set | frozenset | list | tuple) else ()
        for name, value in attributes["_parameters"].items():
            if value is not None:
                self._put(f"{prefix}{name}", value, "parameter")
        buffers = attributes.get("_buffers")
        for name, value in buffers.items() if isinstance(buffers, dict) else ():
            if value is not None and name not in skipped:
                self._put(f"{prefix}{name}", value, "buffer")

    def _put(self, key: str, value: Any, role: Any = None) -> None:
        if role and isinstance(value, Tensor | Composite):
            self.entries[key] = value if value.role == role else value.with_role(role)
        elif role and isinstance(value, Object) and value.class_name.rpartition(".")[2].startswith("Uninitialized"):
            self.notes.append(f"{key}: never initialised (a lazy module that has not run); it has no values to give")
        elif role:
            raise TensorError(f"{key!r} is registered as a {role} and is {value!r:.60}", expected="a tensor")
        else:
            self.entries[key] = value


def _bytes_in(attributes: dict[Any, Any]) -> list[tuple[str, bytes]]:
    """The short byte strings among a module's attributes, one level of dicts deep."""
    out = []
    for key, value in attributes.items():
        for name, item in value.items() if isinstance(value, dict) else ((key, value),):
            if isinstance(item, bytes):
                out.append((str(name), item))
            elif isinstance(item, Blob):
                out.append((str(name), item.source.read_up_to(0, 4)))
    return out


def _hook_name(hook: Any) -> str:
    if isinstance(hook, Object) and hook.args and isinstance(hook.args[0], Global):
        return str(hook.args[0])
    return str(hook) if isinstance(hook, Global) else getattr(hook, "class_name", "?")
