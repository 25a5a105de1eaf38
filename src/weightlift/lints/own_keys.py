"""Whether the keys of what is loaded are sure to be in the model, or are looked at by other means than the result."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..typed import TYPE_CHECKING
from .bindings import key_of, scope_of
from .source_file import method

if TYPE_CHECKING:
    from .source_file import SourceFile

_COPIES = ("copy.deepcopy", "copy.copy", "dict", "collections.OrderedDict")
_NAMED = ("named_parameters", "named_buffers")
_DEEPEST = 4
_SAYS = re.compile(r"warn|info|error|exception|debug|print|log")
_CHECKS = re.compile(r"check|verify|validate|compare|assert")
_TOLD = ("missing", "unexpected", "mismatch", "unmatched", "not_in")


def is_its_own(file: SourceFile, model: ast.expr, given: ast.expr) -> bool:
    """Whether a state dict is made of the model's own names: a copy of its state, or a dict over its parameters."""
    key, name = key_of(model), key_of(given)
    if key is not None and name is not None and name.startswith(f"{key}."):
        return True  # an attribute of the model itself
    values = file.values(given)
    if name is not None and values and all(_is_empty(each) for each in values):
        return _is_filled_from(file, given, model)
    made = _made(file, given)
    if isinstance(made, ast.Dict) and made.keys:
        return all(isinstance(each, ast.Constant) for each in made.keys)  # written out, for what it is to set
    if isinstance(made, ast.DictComp):
        return isinstance(made.key, ast.Name) and _goes_over(file, made.generators[0], made.key.id, model)
    while isinstance(made, ast.Call):
        if (owner := method(made, "state_dict")) is not None:
            return _is_same(file, owner, model)
        inner = method(made, "copy") or (made.args[0] if made.args and file.calls(made, *_COPIES) else None)
        if inner is None:
            break
        made = _made(file, inner)
    return False


def are_looked_at(file: SourceFile, load: ast.Call, model: ast.expr, given: ast.expr) -> bool:
    """Whether the function that loads compares the keys itself, has them compared, or counts those that fit."""
    scope = scope_of(file, load)
    if any(_asks_for_keys(each, model, file) for each in file.nodes.get(ast.If, ()) if scope_of(file, each) is scope):
        return True
    for key, bindings in file.flow.bindings.items():
        if any(word in key.lower() for word in _TOLD):
            for binding in bindings:
                of_a_load = method(getattr(binding.owner, "value", None), "load_state_dict") is not None
                if binding.scope is scope and binding.kind == "assign" and not of_a_load:
                    return True
    if _is_tried_again(file, load) or _is_checked(file, load, given):
        return True
    made = file.value(given)
    if isinstance(made, ast.Call) and len(made.args) > 1 and any(_is_of(arg, model) for arg in made.args):
        return True  # a function that is given both picks what fits
    if key_of(given) is None or not isinstance(made, ast.DictComp) or not made.generators[0].ifs:
        return False
    return any(
        file.calls(call, "len") and len(call.args) == 1 and key_of(call.args[0]) == key_of(given)
        for call in file.nodes.get(ast.Call, ())
        if scope_of(file, call) is scope
    )


def _is_checked(file: SourceFile, load: ast.Call, given: ast.expr) -> bool:
    """Whether a function is handed the weights to check them, or a branch compares their keys as a whole."""
    scope, name = scope_of(file, load), key_of(given)
    if name is None:
        return False
    for call in file.nodes.get(ast.Call, ()):
        if scope_of(file, call) is not scope or not any(key_of(argument) == name for argument in call.args):
            continue
        called = (key_of(call.func) or "").rpartition(".")[2]
        if _CHECKS.search(called) or (called == "set" and isinstance(file.parent(call), ast.Compare | ast.BinOp)):
            return True
    return False


def _is_of(given: ast.expr, model: ast.expr) -> bool:
    """Whether a function is given a model, or the state dict of one."""
    return method(given, "state_dict") is not None or (key_of(given) is not None and key_of(given) == key_of(model))


def _asks_for_keys(branch: ast.If, model: ast.expr, file: SourceFile) -> bool:
    """Whether something is done about a key that is not in the state dict of a model."""
    for each in ast.walk(branch.test):
        if isinstance(each, ast.Compare) and (
            isinstance(each.ops[0], ast.NotIn) or (isinstance(each.ops[0], ast.In) and branch.orelse)
        ):
            held = file.value(each.comparators[0])
            keys = method(held, "keys")
            owner = method(file.value(keys) if keys is not None else held, "state_dict")
            if owner is not None and _is_same(file, owner, model):
                return True
    return False


def _is_tried_again(file: SourceFile, load: ast.Call) -> bool:
    """Whether a strict load was tried before, and its failing is told or looked into."""
    handler = file.enclosing(load, ast.ExceptHandler)
    tried = file.parent(handler) if handler is not None else None
    if handler is None or not isinstance(tried, ast.Try):
        return False
    calls = [each for statement in tried.body for each in ast.walk(statement)]
    if not any(method(each, "load_state_dict") is not None for each in calls):
        return False
    if any(
        isinstance(each, ast.Name) and each.id == handler.name and _is_read(file, each) for each in ast.walk(handler)
    ):
        return True
    said = (each.func for each in ast.walk(handler) if isinstance(each, ast.Call))
    return any(_SAYS.search((key_of(func) or "").rpartition(".")[2]) for func in said)


def _is_read(file: SourceFile, error: ast.Name) -> bool:
    return not isinstance(file.parent(error), ast.Raise)


def _made(file: SourceFile, node: ast.expr, depth: int = 0) -> ast.expr | None:
    """Return what a name was made as, by way of other names, but for what stands in for it until then."""
    made = [each for each in file.values(node) or () if not _is_empty(each)]
    if len(made) != 1 or depth > _DEEPEST:
        return None
    return _made(file, made[0], depth + 1) if key_of(made[0]) is not None else made[0]


def _is_empty(made: ast.expr) -> bool:
    if isinstance(made, ast.Call):
        return not (made.args or made.keywords) and key_of(made.func) in ("dict", "OrderedDict")
    return (isinstance(made, ast.Dict) and not made.keys) or (isinstance(made, ast.Constant) and made.value is None)


def _is_same(file: SourceFile, owner: ast.expr, model: ast.expr) -> bool:
    """Whether two names are of one model: spelled alike and not given another value, or one made of the other."""
    if key_of(owner) is not None and key_of(owner) == key_of(model):
        return file.flow.reaching(_root(owner)) == file.flow.reaching(_root(model))
    held = file.value(model)
    return held is not None and isinstance(held, ast.Name) and ast.dump(held) == ast.dump(owner)


def _root(node: ast.expr) -> ast.expr:
    """Return the name, or the attribute of `self`, that a chain of attributes begins with."""
    while isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
        node = node.value
    return node


def _is_filled_from(file: SourceFile, given: ast.expr, model: ast.expr) -> bool:
    """Whether all that is stored in a dict is stored under a name that the model's parameters have."""
    stored = list(_stored(file, given))
    return bool(stored) and all(_is_own_name(file, each.slice, model) for each in stored)


def _stored(file: SourceFile, given: ast.expr) -> Iterator[ast.Subscript]:
    scope = scope_of(file, given)
    for each in file.nodes.get(ast.Subscript, ()):
        stores = isinstance(each.ctx, ast.Store) and key_of(each.value) == key_of(given)
        if stores and scope_of(file, each) is scope:
            yield each


def _is_own_name(file: SourceFile, name: ast.expr, model: ast.expr) -> bool:
    if not isinstance(name, ast.Name):
        return False
    bindings = file.flow.reaching(name)
    return bool(bindings) and all(
        isinstance(each.owner, ast.For) and _goes_over(file, each.owner, name.id, model) for each in bindings
    )


def _goes_over(file: SourceFile, loop: ast.For | ast.comprehension, name: str, model: ast.expr) -> bool:
    """Whether a loop goes over the parameters or the state of a model, with their names in a name."""
    first = loop.target.elts[0] if isinstance(loop.target, ast.Tuple) else loop.target
    if not isinstance(first, ast.Name) or first.id != name:
        return False
    owner = method(loop.iter, *_NAMED)
    if owner is None:
        state = method(loop.iter, "items", "keys") or loop.iter
        owner = method(state, "state_dict")
    return owner is not None and _is_same(file, owner, model)
