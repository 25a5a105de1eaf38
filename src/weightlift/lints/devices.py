"""Whether a program runs with a GPU and without, and which part of it only with one."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING
from .reads import names_in

if TYPE_CHECKING:
    from .source_file import SourceFile

_WORDS = ("cuda", "gpu", "is_available", "device_count", "mps", "xpu")
_FETCHES = ("download", "from_url", "fetch", "cached_path")


def may_do_without(file: SourceFile) -> bool:
    """Whether a file asks if there is a device, to go on with another where there is none."""
    return any(_is_answered(call, file) for call in file.nodes[ast.Call] if _asks(call))


def asks_for_a_device(node: ast.AST, file: SourceFile) -> bool:
    """Whether a node stands in a branch that is taken where there is a GPU."""
    inner = node
    for above in file.ancestors(node):
        if isinstance(above, ast.If | ast.IfExp) and _is_in_body(above, inner):
            if any(word in name.lower() for name in names_in(above.test) for word in _WORDS):
                return True
        elif isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        inner = above
    return False


def is_downloaded(path: ast.expr | None, file: SourceFile) -> bool:
    """Whether a path is, or may be, what a function that downloads returned."""
    made = [binding.value for binding in file.flow.reaching(path)] if path is not None else []
    return any(
        isinstance(each, ast.Call) and any(word in name.lower() for name in names_in(each.func) for word in _FETCHES)
        for each in made or [path]
    )


def _asks(call: ast.Call) -> bool:
    return (isinstance(call.func, ast.Attribute) and call.func.attr == "is_available") or (
        isinstance(call.func, ast.Name) and call.func.id in ("is_available", "cuda_is_available")
    )


def _is_answered(call: ast.Call, file: SourceFile) -> bool:
    """Whether something is chosen by an answer, and the program does not just fail."""
    for above in file.ancestors(call):
        if isinstance(above, ast.Assert):
            return False
        if isinstance(above, ast.If):
            return not any(_gives_up(each, file) for each in above.body)
        if isinstance(above, ast.IfExp | ast.Assign | ast.AnnAssign | ast.keyword | ast.Return):
            return True
        if isinstance(above, ast.stmt):
            return False
    return False


def _gives_up(statement: ast.stmt, file: SourceFile) -> bool:
    ends = isinstance(statement, ast.Expr) and file.calls(statement.value, "sys.exit", "exit", "quit", "os._exit")
    return ends or isinstance(statement, ast.Raise)


def _is_in_body(branch: ast.If | ast.IfExp, inner: ast.AST) -> bool:
    negated = isinstance(branch.test, ast.UnaryOp) and isinstance(branch.test.op, ast.Not)
    body = branch.orelse if negated else branch.body
    return inner in body if isinstance(body, list) else inner is body
