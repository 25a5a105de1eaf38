"""Keys of state dicts as a loop or a comprehension goes over them, and whether the code asks how they begin."""

from __future__ import annotations

import ast
import re

from ..typed import TYPE_CHECKING
from .bindings import scope_of
from .source_file import is_constant, method

if TYPE_CHECKING:
    from .source_file import SourceFile

_NAMED_SO = re.compile(r"state_?dict|check_?point|ckpt|^sd$", re.IGNORECASE)
_WRAPPED = re.compile(r"parallel|ddp|distributed|multi_?gpu|module|prefix")
_WRAPPERS = ("DataParallel", "DistributedDataParallel", "DDP")
_SAME_KEYS = ("list", "tuple", "sorted", "set", "iter", "reversed")
_ASKING = ("startswith", "match", "fullmatch", "search", "find", "partition")
_CONDITIONS = (ast.If, ast.IfExp, ast.While)


def source_of_key(file: SourceFile, node: ast.AST, depth: int = 0) -> ast.expr | None:
    """Return the state dict whose keys a name goes over, also after other methods were called on it; else None."""
    if not isinstance(node, ast.Name) or depth > 4:
        return None
    for binding in file.flow.reaching(node):
        if isinstance(binding.owner, ast.For | ast.comprehension):
            source = _gone_over(binding.owner, node.id)
            if source is not None and is_state_dict(file, source):
                return source
        elif isinstance(binding.value, ast.Call):
            source = source_of_key(file, _root(binding.value), depth + 1)
            if source is not None:
                return source
    return None


def possible_kinds(file: SourceFile, node: ast.expr) -> set[str | None]:
    """Return the kinds of all that a name may have been given, as far as it is seen; that of any other expression."""
    values = possible_values(file, node)
    return {file.holds(value) for value in values} if values else {file.holds(node)}


def possible_values(file: SourceFile, node: ast.expr) -> list[ast.expr]:
    """Return what a name may have been given where it is used, as far as it is seen."""
    return [binding.value for binding in file.flow.reaching(node) if binding.value is not None]


def is_state_dict(file: SourceFile, node: ast.expr) -> bool:
    """Whether an expression is a state dict: made or loaded as one, or named for what it is."""
    if _is_named_so(node) or possible_kinds(file, node) & {"state_dict", "loaded"}:
        return True
    owner = node.value if isinstance(node, ast.Subscript) else method(node, "get", "pop")
    return owner is not None and "loaded" in possible_kinds(file, owner)


def looked_at(file: SourceFile, node: ast.expr, key: ast.Name, source: ast.expr) -> bool:
    """Whether something before a use of a key, or around it, may have made sure of how the key begins."""
    if _is_chosen(file, source):
        return True
    inner: ast.AST = node
    for above in file.ancestors(node):
        if isinstance(above, ast.ExceptHandler):
            return True  # the keys as they are have been tried
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            break
        conditions = [above.test] if isinstance(above, _CONDITIONS) and inner is not above.test else []
        conditions += [test for each in getattr(above, "generators", ()) for test in each.ifs]
        conditions += _left_before(above, inner)
        if any(_mentions(condition, key.id) or _is_about_wrapping(condition) for condition in conditions):
            return True
        inner = above
    return _asks(file, node)


def _root(node: ast.expr) -> ast.expr:
    """Return what the first of a chain of methods is called on."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    return node


def _gone_over(owner: ast.For | ast.comprehension, name: str) -> ast.expr | None:
    """Return the dict whose keys are in a loop's target of this name."""
    goes_over, target = owner.iter, owner.target
    while isinstance(goes_over, ast.Call) and isinstance(goes_over.func, ast.Name) and goes_over.func.id in _SAME_KEYS:
        if len(goes_over.args) != 1:
            return None
        goes_over = goes_over.args[0]
    items = method(goes_over, "items")
    if items is not None:
        first = target.elts[0] if isinstance(target, ast.Tuple) and len(target.elts) == 2 else None
        return items if isinstance(first, ast.Name) and first.id == name else None
    return (method(goes_over, "keys") or goes_over) if isinstance(target, ast.Name) else None


def _is_named_so(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript):
        node = node.slice
    name = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "value", None)
    return isinstance(name, str) and _NAMED_SO.search(name) is not None


def _is_chosen(file: SourceFile, source: ast.expr) -> bool:
    """Whether the keys gone over were picked from others by a condition."""
    values = [source, *(binding.value for binding in file.flow.reaching(source) if binding.value is not None)]
    return any(each.ifs for value in values for each in getattr(value, "generators", ()))


def _left_before(block: ast.AST, inner: ast.AST) -> list[ast.expr]:
    """Return what the statements of a block before one of them ask, to go on with another key or to fail."""
    body = getattr(block, "body", None)
    if not isinstance(body, list) or inner not in body:
        return []
    before = body[: body.index(inner)]
    return [each.test for each in before if isinstance(each, ast.If | ast.Assert)]


def _mentions(node: ast.expr, name: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(node))


def _is_about_wrapping(condition: ast.expr) -> bool:
    """Whether a condition is a flag that says how the model was saved: `if used_data_parallel:`."""
    asked = condition.operand if isinstance(condition, ast.UnaryOp) else condition
    return _WRAPPED.search(_last_name(asked).lower()) is not None


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _asks(file: SourceFile, node: ast.expr) -> bool:
    """Whether the same function asks, up to here, how any string begins or whether it holds a part with a dot."""
    scope, last = _function(file, node), node.end_lineno or node.lineno
    for call in file.nodes.get(ast.Call, ()):
        sure = method(call, *_ASKING) is not None or _last_name(call.func) in _WRAPPERS
        if sure and call.lineno <= last and _function(file, call) is scope:
            return True
    for compare in file.nodes.get(ast.Compare, ()):
        if compare.lineno > last or _function(file, compare) is not scope:
            continue
        if isinstance(compare.ops[0], ast.Eq | ast.NotEq) and _is_beginning(compare.left):
            return True
        if isinstance(compare.ops[0], ast.In | ast.NotIn):
            left, right = compare.left, compare.comparators[0]
            text = left.value if isinstance(left, ast.Constant) and isinstance(left.value, str) else None
            if text is not None and ("." in text or not isinstance(right, ast.Name | ast.Attribute)):
                return True
            if text is not None and source_of_key(file, right) is not None:
                return True
    return False


def _is_beginning(node: ast.expr) -> bool:
    """Whether an expression is the first letters of something: `keys[0][:7]`."""
    cut = node.slice if isinstance(node, ast.Subscript) else None
    return isinstance(cut, ast.Slice) and cut.upper is not None and (cut.lower is None or is_constant(cut.lower, 0))


def _function(file: SourceFile, node: ast.AST) -> ast.AST:
    return file.function(node) or scope_of(file, file.tree)
