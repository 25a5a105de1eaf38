"""Which classes of a file are modules that have a `state_dict` method of their own."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .kinds import class_definition, is_module_class

if TYPE_CHECKING:
    from .source_file import SourceFile

KEYWORDS = ("destination", "prefix", "keep_vars")
"""The parameters of `torch.nn.Module.state_dict`, in the order in which they may still be passed by position."""

_HARMLESS = ("override", "typing.override", "typing_extensions.override", "torch.no_grad")


def overridden(node: ast.FunctionDef, file: SourceFile) -> ast.ClassDef | None:
    """Return the class of modules in which a function is the method `state_dict`; None if it is no such method."""
    inside = file.parent(node)
    if (
        node.name != "state_dict"
        or not isinstance(inside, ast.ClassDef)
        or not (node.args.posonlyargs or node.args.args)
    ):
        return None
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if file.qualified(called) not in _HARMLESS:
            return None
    return inside if is_class_of_modules(file, inside) else None


def is_class_of_modules(file: SourceFile, definition: ast.ClassDef) -> bool:
    """Whether a class derives from `torch.nn.Module`, as far as the file shows."""
    return any(is_module_class(file, base) for base in definition.bases)


def has_own_state_dict(file: SourceFile, definition: ast.ClassDef, depth: int = 0) -> bool:
    """Whether a class, or one of the file that it derives from, has a `state_dict` method of its own."""
    if any(isinstance(each, ast.FunctionDef) and each.name == "state_dict" for each in definition.body):
        return True
    return depth < 8 and inherits_a_state_dict(file, definition, depth)


def inherits_a_state_dict(file: SourceFile, definition: ast.ClassDef, depth: int = 0) -> bool:
    """Whether a class of the file that this one derives from has a `state_dict` method of its own."""
    above = [class_definition(file, base) for base in definition.bases]
    return any(base is not None and has_own_state_dict(file, base, depth + 1) for base in above)


def only_raises(node: ast.FunctionDef) -> bool:
    """Whether a function does nothing but raise, or nothing at all."""
    return all(isinstance(each, ast.Raise | ast.Pass) or _is_constant(each) for each in node.body)


def mentions(call: ast.Call, name: str) -> bool:
    """Whether a call passes a keyword, a variable or an attribute of this name."""
    passed = [*call.args, *(keyword.value for keyword in call.keywords)]
    named = {each.id if isinstance(each, ast.Name) else getattr(each, "attr", None) for each in passed}
    return name in named or any(keyword.arg == name for keyword in call.keywords)


def _is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
