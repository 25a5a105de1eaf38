"""Where a file reads what it has given a name, and what an expression is written with."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..typed import TYPE_CHECKING
from .bindings import key_of, scope_of

if TYPE_CHECKING:
    from .source_file import SourceFile


def reads_of(file: SourceFile, target: ast.expr) -> Iterator[ast.expr]:
    """Yield the places that read a name in its scope, or an attribute in its class."""
    base = base_of(target)
    key = key_of(base)
    scope = file.class_of(base) if key is not None and "." in key else scope_of(file, base)
    for each in file.nodes.get(type(base), ()):
        if not isinstance(each.ctx, ast.Load) or key_of(each) != key or each is base:
            continue
        if (scope is None or scope in file.ancestors(each)) and not _only_writes(file, each):
            yield each


def _only_writes(file: SourceFile, read: ast.expr) -> bool:
    """Whether a name is read only to put something into it, or to ask whether there is something: `x is None`."""
    above = file.parent(read)
    if isinstance(above, ast.Subscript) and above.value is read and not isinstance(above.ctx, ast.Load):
        return True
    if isinstance(above, ast.Attribute) and above.attr in ("append", "clear"):
        return True
    return isinstance(above, ast.Compare) and isinstance(above.ops[0], ast.Is | ast.IsNot)


def base_of(target: ast.expr) -> ast.expr:
    """Return what an entry is an entry of: `kept` of `kept["a"][0]`, itself for anything else."""
    while isinstance(target, ast.Subscript):
        target = target.value
    return target


def names_in(node: ast.AST) -> Iterator[str]:
    """Yield the names, attributes and texts that an expression is written with."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each.id
        elif isinstance(each, ast.Attribute):
            yield each.attr
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def keys_in(node: ast.expr) -> Iterator[str]:
    """Yield the names, and the attributes of `self`, that an expression depends on."""
    for each in ast.walk(node):
        key = key_of(each)
        if key is not None and key != "self":
            yield key
