"""TorchScript archives: the zip of torch.jit.save and of the mobile interpreter.

`data.pkl` holds the module, `constants.pkl` the tensors its code uses (storages under `constants/`).
Which attributes are parameters and buffers stands in the code's class headers, read as text
(`__parameters__ = [...]`). Follows torch/csrc/jit/serialization/{export_module,import}.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..checkpoint import Checkpoint
from ..containers import ZipArchive
from ..errors import LimitError, plural
from ..findings import Finding
from ..limits import Limits
from ..pickles import Global, Object
from ..pickles.known_globals import is_script_class
from ..pickles.state import Rebuild
from ..state_dict import StateDict
from ..tensors import Composite, Tensor
from ..typed import Any
from .base import Format, Opening, Probe
from .member_names import check_torch_names
from .torch_zip import StorageLoader, after_pickle, archive_facts, read_torch_pickle

_LISTS = ("__parameters__", "__buffers__")


class ScriptClasses:
    """What the archive's code says of its classes; the text is scanned, never parsed or run."""

    def __init__(self, archive: ZipArchive, prefix: str) -> None:
        self._archive = archive
        self._prefix = prefix
        self._by_file: dict[str, dict[str, dict[str, list[str]]]] = {}

    def lists(self, cls: Global) -> dict[str, list[str]] | None:
        """Return {"__parameters__": names, "__buffers__": names} of a class, or None without its code."""
        if cls.module not in self._by_file:
            self._by_file[cls.module] = self._scan(cls.module)
        return self._by_file[cls.module].get(cls.name)

    def _scan(self, module: str) -> dict[str, dict[str, list[str]]]:
        name = f"{self._prefix}code/{module.replace('.', '/')}.py"
        if name not in self._archive:
            return {}
        text = self._archive.read(name).decode("utf-8", "replace")
        classes: dict[str, dict[str, list[str]]] = {}
        current: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith("class "):
                current = classes.setdefault(line[6:].partition("(")[0].partition(":")[0].strip(), {})
                continue
            name, equals, value = line.strip().partition(" = ")
            if equals and name in _LISTS and line.startswith("  _"):
                current[name] = [part.strip().strip("'\"") for part in value.strip("[] ").split(",") if part.strip()]
        return classes


class ScriptModules:
    """The state dicts of scripted modules: parameters, then buffers, then submodules."""

    def __init__(self, classes: ScriptClasses, limits: Limits) -> None:
        self.classes = classes
        self.limits = limits

    def state_dict(self, value: Object, name: str) -> StateDict | None:
        """Return the state dict of a scripted module, or None where the object is none."""
        if not is_script_object(value):
            return None
        notes: list[str] = []
        entries = dict(self._entries(value, "", notes, 0))
        return StateDict(entries, name=name, notes=tuple(notes))

    def _entries(self, value: Object, prefix: str, notes: list[str], depth: int) -> Iterator[tuple[str, Any]]:
        if depth > min(200, self.limits.depth):
            raise LimitError(f"modules nested deeper than 200, at {prefix[:80]!r}")
        attributes = value.attributes
        lists = self.classes.lists(value.fn) if isinstance(value.fn, Global) else None
        if lists is None:
            own = [key for key, item in attributes.items() if isinstance(item, Tensor | Composite)]
            if own:
                notes.append(f"{prefix or 'the module'}: no code to tell parameters from other tensors; all are listed")
        else:
            own = [key for names in _LISTS for key in _in_order(attributes, lists.get(names, []))]
        for key in own:
            item = attributes[key]
            if isinstance(item, Tensor | Composite):
                is_parameter = lists is not None and key in lists.get("__parameters__", [])
                yield f"{prefix}{key}", item.with_role("parameter" if is_parameter else "buffer")
        packed = value.state
        if isinstance(packed, tuple) and not attributes:
            for key, item in _packed_tensors(packed):
                yield f"{prefix}{key}", item
        for key, item in attributes.items():
            if isinstance(item, Object) and is_script_object(item):
                yield from self._entries(item, f"{prefix}{key}.", notes, depth + 1)


def _in_order(attributes: dict[Any, Any], names: list[str]) -> list[str]:
    wanted = set(names)
    return [key for key in attributes if key in wanted]


def _packed_tensors(state: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """The plain tensors among the packed parameters of a quantised module, by their place."""
    for i, item in enumerate(state):
        if isinstance(item, Tensor | Composite):
            yield str(i), item
        elif isinstance(item, tuple | list):
            for key, inner in _packed_tensors(tuple(item)):
                yield f"{i}.{key}", inner


def is_script_object(value: Object) -> bool:
    """Whether an object is of a class of the archive's own code."""
    return isinstance(value.fn, Global) and is_script_class(value.fn)


def _type_tag(value: Any, _tag: Any = None) -> Any:
    """`torch.jit._pickle.restore_type_tag`: the value, its static type is told apart elsewhere."""
    return value


def _typed_list(items: Any = ()) -> Any:
    return list(items) if isinstance(items, list | tuple) else items


def _recognises(probe: Probe) -> bool:
    return probe.prefix is not None and f"{probe.prefix}constants.pkl" in probe.names


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    archive, prefix = probe.archive, probe.prefix or ""
    check_torch_names(archive)
    facts = archive_facts(archive, prefix)
    data = StorageLoader(archive, f"{prefix}data/")
    constants = StorageLoader(archive, f"{prefix}constants/")
    data.little_endian = constants.little_endian = facts["byteorder"] == "little"
    more: dict[str, Rebuild] = {"type_tag": _type_tag, "typed_list": _typed_list}
    held = read_torch_pickle(archive, f"{prefix}constants.pkl", opening, constants, **more)
    known = held.value if isinstance(held.value, tuple | list) else ()

    def tensor_from_id(number: Any) -> Any:
        return known[number] if type(number) is int and 0 <= number < len(known) else None

    pickle = read_torch_pickle(archive, f"{prefix}data.pkl", opening, data, tensor_from_id=tensor_from_id, **more)
    modules = ScriptModules(ScriptClasses(archive, prefix), opening.limits)
    findings = [
        *data.findings(),
        *constants.findings(),
        *after_pickle(archive, f"{prefix}data.pkl", pickle.end),
        *after_pickle(archive, f"{prefix}constants.pkl", held.end),
    ]
    if isinstance(known, tuple | list) and any(isinstance(item, Tensor) for item in known):
        count = sum(isinstance(item, Tensor) for item in known)
        findings.append(
            Finding(
                "constants",
                "note",
                "constants",
                f"{plural(count, 'constant tensor')} of the code, not of the weights",
            )
        )
    return Checkpoint(
        pickle.value,
        format="torchscript",
        source=probe.source,
        details={**facts, "mobile": f"{prefix}bytecode.pkl" in archive, "constants": known},
        globals={**{named: at for named, at in pickle.globals.items() if not is_script_class(named)}, **held.globals},
        findings=tuple(findings),
        limits=opening.limits,
        module_reader=modules.state_dict,
    )


FORMAT = Format("torchscript", _recognises, _open)
