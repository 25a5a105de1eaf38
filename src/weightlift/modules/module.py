"""The state dict of an inert module tree.

Follows `torch.nn.Module.state_dict`: parameters, then persistent buffers, then submodules, each in the
order of registration, names joined by dots. What only the class's code could tell becomes a note.
"""

from __future__ import annotations

from ..errors import LimitError, TensorError, plural, shown, worded
from ..limits import DEFAULT_LIMITS, Limits
from ..pickles import Blob, Global, Object
from ..state_dict import StateDict
from ..tensors import Composite, Tensor
from ..typed import Any
from .hooks import KNOWN_HOOKS, Call, hook_name
from .special import Special, special_of

# fx rebuilds its modules by a call whose first argument is the module's __dict__
_FX_CALLS = {
    Global("torch.fx.graph_module", "reduce_graph_module"),
    Global("torch.fx.graph_module", "reduce_package_graph_module"),
    Global("torch.fx.graph_module", "reduce_deploy_graph_module"),
}
# what torch.compile returns is pickled as a call with the module it wraps
_COMPILED = Global("torch._dynamo.eval_frame", "OptimizedModule")


def module_attributes(value: Any) -> dict[Any, Any] | None:
    """Return the `__dict__` of a pickled module, or None where the value is no module."""
    if not isinstance(value, Object):
        return None
    if value.is_call and isinstance(value.fn, Global) and value.fn in _FX_CALLS:
        position = 1 if value.fn.name == "reduce_deploy_graph_module" else 0
        attributes: dict[Any, Any] = next((a for a in value.args[position:] if isinstance(a, dict)), {})
    elif value.is_call and value.fn == _COMPILED and value.args:
        attributes = {"_parameters": {}, "_modules": {"_orig_mod": value.args[0]}}
    else:
        attributes = value.attributes
    found = attributes.get("_parameters"), attributes.get("_modules")
    return attributes if all(isinstance(part, dict) for part in found) else None


def is_module(value: Any) -> bool:
    """Whether a value is a pickled `nn.Module`: an object with `_parameters` and `_modules`, or a known kind."""
    if module_attributes(value) is not None:
        return True
    return isinstance(value, Object) and not value.is_call and special_of(value.class_name) is not None


def module_state_dict(module: Object, name: str = "", limits: Limits = DEFAULT_LIMITS) -> StateDict:
    """Return what `module.state_dict()` would give, with notes on what its class could have changed.

    Raises:
        TensorError: something that is no tensor stands among the parameters or buffers.
        LimitError: modules nested too deep (or within themselves).
    """
    reader = _Reader(limits)
    reader.read(module, "", 0)
    if reader.archives:
        where, names = next(iter(reader.archives.items()))
        more = f" and {plural(len(reader.archives) - 1, 'other module')}" if len(reader.archives) > 1 else ""
        reader.notes.append(
            f"{where}{more}: own state holds archives as bytes ({', '.join(names[:3])}); tensors in them are not listed"
        )
    if reader.foreign:
        listed = ", ".join(list(reader.foreign)[:6]) + (" ..." if len(reader.foreign) > 6 else "")
        reader.notes.append(
            f"{plural(len(reader.foreign), 'class', 'classes')} not of torch could override state_dict(): {listed}"
        )
    return StateDict(reader.entries, name=name, versions=reader.versions, notes=tuple(reader.notes))


_MANY_VISITS = 10_000
_MOST_PLACES = 100  # of one module, on average
_LONGEST_NAME = 1 << 16


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.entries: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.notes: list[str] = []
        self.archives: dict[str, list[str]] = {}  # path of a module -> its attributes that are files of their own
        self.foreign: dict[str, str] = {}  # class -> path of its first instance
        self.distinct: set[int] = set()
        self.visits = 0

    def read(self, module: Object, prefix: str, depth: int) -> None:
        if depth > min(self.limits.depth, 200):
            raise LimitError(f"modules nested deeper than {depth - 1}, at {prefix[:80]!r}")
        self._check_sharing(module, prefix)
        class_name = module.class_name
        where = prefix.removesuffix(".") or "the module itself"
        attributes = module_attributes(module) or {}
        special = special_of(class_name)
        if not class_name.startswith("torch."):
            self.foreign.setdefault(class_name, where)
        if nested := [key for key, held in _bytes_in(attributes) if held[:4] == b"PK\3\4"]:
            self.archives[where] = nested
        metadata: dict[str, Any] = {"version": special.version if special else _version(attributes)}
        self.versions[prefix.removesuffix(".")] = metadata
        if hooks := attributes.get("_state_dict_pre_hooks"):
            self._note_hooks(where, hooks)
        self._own_entries(attributes, prefix)
        if special is not None:
            self._special_entries(special, module, prefix, where)
        submodules = attributes.get("_modules")
        for name, child in submodules.items() if isinstance(submodules, dict) else ():
            if child is None:
                continue
            if not is_module(child):
                self.notes.append(f"{prefix}{name}: stands among the submodules and is {shown(child, 60)}; left out")
                continue
            self.read(child, f"{prefix}{name}.", depth + 1)
        if hooks := attributes.get("_state_dict_hooks"):
            self._run_known_hooks(where, hooks, attributes, prefix, metadata)

    def _check_sharing(self, module: Object, prefix: str) -> None:
        """A shared module has a name at each of its places; modules that share modules, a name for each way down."""
        self.distinct.add(id(module))
        self.visits += 1
        if self.visits > _MANY_VISITS and self.visits > _MOST_PLACES * len(self.distinct):
            raise LimitError(
                f"{len(self.distinct)} modules that share each other under more than {self.visits - 1} names"
            )
        if len(prefix) > _LONGEST_NAME or len(self.entries) > self.limits.tensors:
            long = len(prefix) > _LONGEST_NAME
            found = f"a name of {len(prefix)} characters" if long else f"more than {self.limits.tensors} tensors"
            raise LimitError(found, remedy="" if long else "raise Limits.tensors")

    def _special_entries(self, special: Special, module: Object, prefix: str, where: str) -> None:
        if special.note:
            self.notes.append(f"{where}: {special.note}")
        try:
            for key, value in special.own_entries(module) if special.own_entries else ():
                self._put(prefix + key, value)
        except TensorError as error:
            raise error.at(where) from None

    def _run_known_hooks(
        self, where: str, hooks: Any, attributes: dict[Any, Any], prefix: str, metadata: dict[str, Any]
    ) -> None:
        """Do what torch's own hooks do; note the others."""
        strangers = {}
        for key, hook in hooks.items() if isinstance(hooks, dict) else (("?", hooks),):
            known = KNOWN_HOOKS.get(hook_name(hook))
            if known is None:
                strangers[key] = hook
            else:
                known(Call(hook, attributes, self.entries, prefix, metadata))
        if strangers:
            self._note_hooks(where, strangers)

    def _note_hooks(self, where: str, hooks: Any) -> None:
        names = ", ".join(map(hook_name, hooks.values())) if isinstance(hooks, dict) else "?"
        self.notes.append(f"{where}: a hook may change the state dict ({names})")

    def _own_entries(self, attributes: dict[Any, Any], prefix: str) -> None:
        hidden = attributes.get("_non_persistent_buffers_set")
        skipped = hidden if isinstance(hidden, set | frozenset | list | tuple) else ()
        parameters = attributes.get("_parameters")
        for name, value in parameters.items() if isinstance(parameters, dict) else ():
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
            raise TensorError(f"{key!r} is registered as a {role} and is {shown(value, 60)}", expected="a tensor")
        else:
            self.entries[key] = value


def _bytes_in(attributes: dict[Any, Any]) -> list[tuple[str, bytes]]:
    """The short byte strings among a module's attributes, one level of dicts deep."""
    out = []
    for key, value in attributes.items():
        for name, item in value.items() if isinstance(value, dict) else ((key, value),):
            if isinstance(item, bytes):
                out.append((worded(name), item))
            elif isinstance(item, Blob):
                out.append((worded(name), item.source.read_up_to(0, 4)))
    return out


def _version(attributes: dict[Any, Any]) -> int:
    """The `_version` of a class that is not in the table: 2 for batch and instance norms, whoever wrote them."""
    buffers = attributes.get("_buffers")
    return 2 if isinstance(buffers, dict) and "num_batches_tracked" in buffers else 1
