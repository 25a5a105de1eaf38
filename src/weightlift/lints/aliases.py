"""What a state dict that is kept shares with the module or optimizer that it was taken from.

`state_dict()` returns references (torch.nn.Module.state_dict: "The returned object is a shallow copy. It contains
references to the module's parameters and buffers"), and so does every shallow copy of what it returns.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..typed import TYPE_CHECKING
from ..values import dataclass
from .bindings import key_of, scope_of
from .source_file import method

if TYPE_CHECKING:
    from .source_file import SourceFile

_SHALLOW = ("dict", "collections.OrderedDict", "copy.copy")
_SAME_STORAGE = ("detach", "requires_grad_", "view_as", "contiguous")
_SAME_ON_ITS_DEVICE = ("cpu", "to", "cuda", "float")
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Alias:
    """Whose weights an expression still refers to. Not `always` where that depends on the device or the type."""

    owner: ast.expr
    always: bool = True


def alias(file: SourceFile, node: ast.expr, depth: int = 0) -> Alias | None:
    """Return whose weights a state dict refers to; None where it is a copy, or that is not certain."""
    if depth > _DEEPEST:
        return None
    if isinstance(node, ast.Name):
        value = file.value(node)
        if entries_are_replaced(file, node):
            return None
        return alias(file, value, depth + 1) if value is not None and value is not node else None
    if isinstance(node, ast.IfExp):
        one, other = alias(file, node.body, depth + 1), alias(file, node.orelse, depth + 1)
        return Alias(one.owner, one.always and other.always) if one and other else None
    if isinstance(node, ast.DictComp):
        return _of_items(file, node.generators, node.value, depth)
    return _of_call(file, node, depth) if isinstance(node, ast.Call) else None


def entries_are_replaced(file: SourceFile, name: ast.expr) -> bool:
    """Whether a loop puts something else under the keys of what a name holds: `kept[k] = kept[k].clone()`."""
    scope = scope_of(file, name)
    return any(
        isinstance(each.ctx, ast.Store)
        and not isinstance(each.slice, ast.Constant)
        and key_of(each.value) == key_of(name)
        and scope_of(file, each) is scope
        for each in (file.nodes.get(ast.Subscript, ()) if isinstance(name, ast.Name) else ())
    )


def parts(file: SourceFile, node: ast.expr) -> Iterator[tuple[ast.expr, Alias]]:
    """Yield what of an expression refers to live weights: itself, or values of the dict that it writes down."""
    for each in node.values if isinstance(node, ast.Dict) else [node]:
        found = alias(file, each)
        if found is not None:
            yield each, found


def _of_call(file: SourceFile, call: ast.Call, depth: int) -> Alias | None:
    owner = method(call, "state_dict")
    if owner is not None:
        return Alias(owner) if not call.args and _keeps_tensors(file, owner) else None
    copied = method(call, "copy")
    if copied is not None and not call.args:
        return alias(file, copied, depth + 1)
    if len(call.args) != 1 or call.keywords or file.qualified(call.func) not in _SHALLOW:
        return None
    made = call.args[0]
    if isinstance(made, ast.GeneratorExp | ast.ListComp):
        pair = made.elt.elts if isinstance(made.elt, ast.Tuple) else []
        return _of_items(file, made.generators, pair[1], depth) if len(pair) == 2 else None
    return alias(file, _behind_items(made) or made, depth + 1)


def _of_items(file: SourceFile, generators: list[ast.comprehension], value: ast.expr, depth: int) -> Alias | None:
    """Return the alias of a comprehension over `X.items()`, by what becomes of each tensor."""
    source = _behind_items(generators[0].iter) if len(generators) == 1 else None
    target = generators[0].target
    if source is None or not isinstance(target, ast.Tuple) or len(target.elts) != 2:
        return None
    found, always = alias(file, source, depth + 1), True
    while not isinstance(value, ast.Name):
        if isinstance(value, ast.Attribute) and value.attr == "data":
            value = value.value
            continue
        inner = method(value, *_SAME_STORAGE, *_SAME_ON_ITS_DEVICE)
        if inner is None or any(keyword.arg == "copy" for keyword in value.keywords):  # type: ignore[attr-defined]
            return None
        always = always and value.func.attr in _SAME_STORAGE  # type: ignore[attr-defined]
        value = inner
    tensor = target.elts[1]
    if found is None or not isinstance(tensor, ast.Name) or tensor.id != value.id:
        return None
    return Alias(found.owner, found.always and always)


def _behind_items(node: ast.expr) -> ast.expr | None:
    return method(node, "items") if isinstance(node, ast.Call) and not node.args else None


def _keeps_tensors(file: SourceFile, owner: ast.expr) -> bool:
    """Whether the state of an owner is tensors that training changes; those of schedulers and scalers are numbers."""
    if file.holds(owner) in ("scheduler", "scaler", "state_dict", "loaded", "dict"):
        return False
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return not any(word in name.lower() for word in ("sched", "scaler", "metric", "sampler", "loader", "dataset"))
