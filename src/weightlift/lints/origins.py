"""Whether weights come from somewhere else than the model that they go into: from a file, or from another model."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..typed import TYPE_CHECKING
from .bindings import key_of, scope_of
from .source_file import method

if TYPE_CHECKING:
    from .source_file import SourceFile

_DEEPEST = 8
_FETCHES = ("load", "from_url", "read_checkpoint")


def is_from_elsewhere(file: SourceFile, given: ast.expr, depth: int = 0) -> bool:
    """Whether an expression is seen to be what a function loaded, or what another `state_dict()` gave.

    What is picked of it, renamed or handed through functions comes from there as well. What a function is handed by
    its callers does not count: they may have made sure of it.
    """
    if depth > _DEEPEST:
        return False
    if isinstance(given, ast.Name) and not file.flow.in_sight(given):
        return True  # a part of a program, with what is loaded made before it
    return any(is_from_elsewhere(file, each, depth + 1) or _is_source(each) for each in _made_of(file, given))


def _made_of(file: SourceFile, given: ast.expr) -> Iterator[ast.expr]:
    """Yield what a value is made of, one step back: itself where it is a call that loads."""
    if isinstance(given, ast.Call):
        if _is_source(given):
            yield given
            return
        if isinstance(given.func, ast.Attribute):
            yield given.func.value
        yield from given.args
    elif isinstance(given, ast.Subscript):
        yield given.value
    elif isinstance(given, ast.DictComp | ast.ListComp | ast.GeneratorExp):
        yield from (each.iter for each in given.generators)
    elif isinstance(given, ast.IfExp):
        yield from (given.body, given.orelse)
    elif key_of(given) is not None:
        yield from _behind_name(file, given)


def _behind_name(file: SourceFile, name: ast.expr) -> Iterator[ast.expr]:
    for binding in file.flow.reaching(name):
        if binding.value is not None:
            yield binding.value
        elif isinstance(binding.owner, ast.For | ast.comprehension):
            yield binding.owner.iter
    scope = scope_of(file, name)
    for each in file.nodes.get(ast.Subscript, ()):  # what loops put into it
        loop = file.loop(each) if isinstance(each.ctx, ast.Store) and key_of(each.value) == key_of(name) else None
        if isinstance(loop, ast.For) and scope_of(file, each) is scope:
            yield loop.iter


def _is_source(node: ast.expr) -> bool:
    """Whether a node is a call that loads, or that asks a model for its state."""
    if not isinstance(node, ast.Call):
        return False
    if method(node, "state_dict") is not None:
        return True
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return any(word in called.lower() for word in _FETCHES)
