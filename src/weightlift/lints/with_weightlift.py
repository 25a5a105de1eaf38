"""What rules offer under `--to weightlift` in the place of a `torch.load`, or of what is done with what it gives.

`weightlift.open(path).state_dict().to_torch()` where the text shows that a state dict is wanted, and
`weightlift.load(model, path)` where a model is to be loaded. Nothing where the file may be no path.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from ..typed import TYPE_CHECKING
from .bindings import key_of
from .kinds import class_definition
from .path_keys import method_open, path_key
from .reads import reads_of
from .rewrites import method_called, replaced_by
from .source_file import argument, is_constant, is_open, method
from .torch_loads import LOADS, map_location, quoted
from .values import Fix

if TYPE_CHECKING:
    from .source_file import SourceFile
    from .values import Edit

_NAMED_PATH = re.compile(r"(^|_)(path|file_?name)$", re.IGNORECASE)
_SETTLED = {None, "f", "map_location", "weights_only", "mmap"}
"""What may be said to a load; anything else (`encoding`, `pickle_module`) is about how it unpickles."""


def is_wanted(file: SourceFile) -> bool:
    """Whether fixes may use weightlift."""
    return file.settings.to == "weightlift"


def opened(load: ast.Call, file: SourceFile, *, as_weights: bool = False) -> Fix | None:
    """Return the fix that reads the state dict that a load is for; None where it may be for something else.

    It is for one where the result, or an entry of it, is asked for its `state_dict()` or handed to a model's
    `load_state_dict`, by way of a name too. `as_weights` says that the caller knows.
    """
    if not is_wanted(file) or not file.calls(load, *LOADS) or _path(load, file) is None:
        return None
    entry, name = _entry(load, file)
    call = _call_on(entry, file)
    if call is not None and _is_asked_for_weights(call, entry) and _is_on_the_cpu(load, call, file):
        return _fix((_reading(call, "func.value", load, name, file),))
    if _is_loaded(entry, file) or (as_weights and name is None):
        return _fix((_reading(entry, "", load, name, file),))
    return _by_name(load, file) if entry is load else None


def loaded(call: ast.Call, source: ast.expr, file: SourceFile) -> Fix | None:
    """Return the fix that loads with `weightlift.load`, which sets all weights down or raises; None if not certain.

    `source` is what is loaded in the place of the call's own argument: a load, an entry of one, or a name for these. A
    dict that is put together in the program is none of these, and may well be meant to be a part of the weights.
    """
    given = argument(call, 0, "state_dict")
    if not is_wanted(file) or given is None or not (call.args and call.args[0] is given) or not _may_load(call, file):
        return None
    at = _steps(given, source)
    if at is None:
        return None
    load, names = source, list[str]()
    while isinstance(load, ast.Subscript) and (key := _key(load)) is not None:
        names.append(key)
        load = load.value
    template, source_at = "weightlift.load({model}, {source})", f"args.0.value{at}"
    if isinstance(load, ast.Call) and file.calls(load, *LOADS):
        inner = _path(load, file)
        if inner is None:
            return None
        if names:
            template = f"weightlift.load({{model}}, {{source}}, name={quoted('.'.join(reversed(names)), call, file)})"
        source_at += ".value" * len(names) + f".{inner}"
    elif not _comes_from_a_load(load, file):
        return None
    edit = file.edit(call, replaced_by(template, model="func.value", source=source_at), imports=("weightlift",))
    return _fix((edit,), "load with weightlift.load, all or nothing") if _is_plain(call, file) else None


def stripped(comprehension: ast.DictComp, prefix: str, file: SourceFile) -> Fix | None:
    """Return the fix of `{k[7:]: v for k, v in weights.items()}`, with the prefix as it is spelled in code.

    Straight into a model it becomes `weightlift.load`, which knows the prefixes of wrappers; else `strip_prefix`,
    which raises for a name that begins otherwise. None where the comprehension does more than that.
    """
    made = comprehension.generators[0]
    source = method(made.iter, "items")
    tensor = made.target.elts[1] if isinstance(made.target, ast.Tuple) and len(made.target.elts) == 2 else None
    value = comprehension.value
    if source is None or len(comprehension.generators) > 1 or made.ifs or not is_wanted(file):
        return None
    if not (isinstance(tensor, ast.Name) and isinstance(value, ast.Name) and value.id == tensor.id):
        return None
    call = file.parent(comprehension)
    if isinstance(call, ast.Call) and file.is_discarded(call) and method(call, "load_state_dict") is not None:
        fix = loaded(call, source, file)
        if fix is not None:
            return fix
    if not _is_plain(comprehension, file):
        return None
    template = f"weightlift.StateDict.of({{weights}}).strip_prefix({prefix}).to_torch()"
    rewrite = replaced_by(template, weights="for_in.iter.func.value")
    return _fix((file.edit(comprehension, rewrite, imports=("weightlift",)),), "strip the prefix, or raise")


def _comes_from_a_load(node: ast.expr, file: SourceFile) -> bool:
    """Whether an expression is what a load gave, or an entry of it, by way of names too."""
    for _ in range(8):
        if isinstance(node, ast.Subscript):
            node = node.value
            continue
        made = file.value(node)
        if made is None or made is node:
            break
        node = made
    return file.calls(node, *LOADS)


def _path(load: ast.Call, file: SourceFile) -> str | None:
    """Return where in libcst's node of a load its path stands; None where it may be no path, or more is said."""
    path = argument(load, 0, "f")
    if path is None or is_open(load) or len(load.args) > 2:
        return None
    if any(keyword.arg not in _SETTLED for keyword in load.keywords) or not _is_plain(load, file):
        return None
    passed = [*load.args, *(keyword.value for keyword in load.keywords)]
    return f"args.{passed.index(path)}.value" if _is_a_path(path, file) else None


def _is_a_path(node: ast.expr, file: SourceFile) -> bool:
    made = file.value(node) or node
    if file.holds(node) == "string" or isinstance(made, ast.JoinedStr):
        return True
    if file.holds(node) == "file" or (isinstance(made, ast.Call) and method_open(file, made)):
        return False
    key = path_key(file, node)
    last = (key_of(node) or "").rpartition(".")[2]
    return (key is not None and not key.startswith("=")) or _NAMED_PATH.search(last) is not None


def _entry(load: ast.Call, file: SourceFile) -> tuple[ast.expr, str | None]:
    """Return what of a load is used: an entry of it, with the name that a state dict there has, or itself."""
    node: ast.expr = load
    names: list[str] = []
    above = file.parent(node)
    while isinstance(above, ast.Subscript) and above.value is node and (key := _key(above)) is not None:
        names.append(key)
        node, above = above, file.parent(above)
    return node, ".".join(names) if names else None


def _key(entry: ast.Subscript) -> str | None:
    """Return the key of an entry that has a name of its own in what weightlift reads."""
    key = entry.slice.value if isinstance(entry.slice, ast.Constant) else None
    return key if isinstance(key, str) and re.fullmatch(r"\w+", key) else None


def _is_asked_for_weights(call: ast.Call | None, of: ast.expr) -> bool:
    """Whether a call is `of.state_dict()`."""
    return call is not None and method(call, "state_dict") is of and not (call.args or call.keywords)


def _is_loaded(node: ast.expr, file: SourceFile) -> bool:
    """Whether an expression is what a model's `load_state_dict` is given."""
    call = file.parent(node)
    owner = method(call, "load_state_dict")
    return isinstance(call, ast.Call) and owner is not None and call.args[:1] == [node] and _may_load(call, file)


def _may_load(call: ast.Call, file: SourceFile) -> bool:
    """Whether a call of `load_state_dict` is one of a model with torch's own method, and copies the weights."""
    owner = method(call, "load_state_dict")
    if owner is None or is_open(call) or file.holds(owner) != "module" or argument(call, 2, "assign") is not None:
        return False
    for made in file.values(owner) or ():
        definition = class_definition(file, made.func) if isinstance(made, ast.Call) else None
        if any(getattr(each, "name", "") == "load_state_dict" for each in getattr(definition, "body", ())):
            return False
    return True


def _is_on_the_cpu(load: ast.Call, used: ast.expr | None, file: SourceFile) -> bool:
    """Whether tensors are not asked to be anywhere else, or are copied to where a model is."""
    location = map_location(load, file)
    return location is None or is_constant(location, "cpu") or (used is not None and _is_loaded(used, file))


def _by_name(load: ast.Call, file: SourceFile) -> Fix | None:
    """Return the fix of `x = torch.load(path)` where each `x` after it is loaded into a model, or `x.state_dict()`."""
    statement = file.statement(load)
    if not isinstance(statement, ast.Assign) or statement.value is not load or len(statement.targets) != 1:
        return None
    target = statement.targets[0]
    if not isinstance(target, ast.Name) or len(file.flow.bindings.get(target.id, ())) != 1:
        return None
    reads = list(reads_of(file, target))
    if reads and all(_is_loaded(read, file) for read in reads):
        return _fix((_reading(load, "", load, None, file),))
    calls = [_call_on(read, file) for read in reads]
    if not reads or not all(_is_asked_for_weights(call, read) for call, read in zip(calls, reads, strict=True)):
        return None
    if not all(_is_on_the_cpu(load, call, file) for call in calls):
        return None
    opening = replaced_by("weightlift.open({path})", path=_path(load, file) or "")
    edits = [file.edit(load, opening, imports=("weightlift",))]
    return _fix((*edits, *(file.edit(call, method_called("to_torch")) for call in calls if call is not None)))


def _call_on(node: ast.expr, file: SourceFile) -> ast.Call | None:
    above = file.parent(node)
    call = file.parent(above) if isinstance(above, ast.Attribute) else None
    return call if isinstance(call, ast.Call) else None


def _reading(node: ast.expr, at: str, load: ast.Call, name: str | None, file: SourceFile) -> Edit:
    """Return the edit that puts what weightlift reads in the place of a node, which has the load at `at`."""
    depth = 0 if name is None else name.count(".") + 1
    steps = [at] if at else []
    steps += ["value"] * depth + [_path(load, file) or ""]
    named = "" if name is None else quoted(name, load, file)
    template = f"weightlift.open({{path}}).state_dict({named}).to_torch()"
    return file.edit(node, replaced_by(template, path=".".join(steps)), imports=("weightlift",))


def _steps(outer: ast.expr, inner: ast.expr) -> str | None:
    """Return where an expression stands in what is loaded: it is that, or the source of a comprehension's items."""
    if outer is inner:
        return ""
    if isinstance(outer, ast.DictComp) and method(outer.generators[0].iter, "items") is inner:
        return ".for_in.iter.func.value"
    return None


def _is_plain(node: ast.AST, file: SourceFile) -> bool:
    """Whether nothing of what a node is written with is lost when it is written anew: it holds no comment."""
    text = file.text(node)
    return "\n" not in text or "#" not in text


def _fix(edits: Sequence[Edit], title: str = "read the weights with weightlift.open") -> Fix:
    return Fix("unsafe", title, tuple(edits))
