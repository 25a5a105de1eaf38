"""Fixes carried out: the nodes at the places of their edits replaced, all else kept to the byte.

The only file that imports libcst, and only when something is fixed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from ..errors import MissingDependencyError, WeightliftError
from ..typed import Any
from .values import Diagnostic, Edit, Fix

Place = tuple[int, int, int, int]


def libcst() -> Any:
    """Return the module `libcst`.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import libcst as cst
    except ImportError:
        raise MissingDependencyError(
            "fixes are carried out by libcst, which is not installed",
            remedy="pip install 'weightlift[fix]'",
        ) from None
    return cst


def choose(diagnostics: Iterable[Diagnostic], *, unsafe: bool) -> list[Diagnostic]:
    """Return those whose fixes can be carried out in one go: allowed, and no two of them on the same place."""
    taken: list[tuple[str, Place]] = []
    chosen = []
    for diagnostic in diagnostics:
        fix = diagnostic.fix
        if fix is None or (fix.grade == "unsafe" and not unsafe):
            continue
        places = [(edit.path or diagnostic.path, _place(edit)) for edit in fix.edits]
        if any(path == other and _meet(place, theirs) for path, place in places for other, theirs in taken):
            continue
        taken += places
        chosen.append(diagnostic)
    return chosen


def edits_by_path(diagnostics: Iterable[Diagnostic]) -> dict[str, list[Edit]]:
    """Return the edits of some fixes by the file that they change."""
    made: dict[str, list[Edit]] = {}
    for diagnostic in diagnostics:
        for edit in diagnostic.fix.edits if diagnostic.fix else ():
            made.setdefault(edit.path or diagnostic.path, []).append(edit)
    return made


def rewritten(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Return a file's bytes with the edits carried out and the imports added.

    Raises:
        WeightliftError: libcst would lose something, no node spans the place of an edit, or what comes out is not
            Python; nothing is to be written.
    """
    cst = libcst()
    bom = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    try:
        module = cst.parse_module(data[len(bom) :])
    except cst.ParserSyntaxError as error:
        raise WeightliftError(f"libcst cannot parse it: {error.message}") from None
    if module.bytes != data[len(bom) :]:
        raise WeightliftError(
            "libcst does not keep all of it: form feeds or backslashes in front of a line, old line ends"
        )
    try:
        targets = _targets(cst, module, edits)
        changed = module.visit(_replacing(cst, targets))
        for name in sorted({name for edit in edits for name in edit.imports}):
            changed = _with_import(cst, changed, name)
        made: bytes = bom + changed.bytes
    except WeightliftError:
        raise
    except Exception as error:  # a rewrite that does not fit what it is handed, or nesting that is too deep
        raise WeightliftError(f"libcst fails on it: {type(error).__name__}: {error}") from error
    try:
        ast.parse(made)
    except (SyntaxError, ValueError) as error:
        raise WeightliftError(f"the fixed file would not be Python: {error}") from None
    return made


def _place(edit: Edit) -> Place:
    return (edit.line, edit.column, edit.end_line, edit.end_column)


def _meet(one: Place, other: Place) -> bool:
    return one[:2] < other[2:] and other[:2] < one[2:]


def _targets(cst: Any, module: Any, edits: Sequence[Edit]) -> dict[Any, Edit]:
    """Return the node that each edit means: of those that span its place, the outermost of its sort."""
    wrapper = cst.metadata.MetadataWrapper(module, unsafe_skip_copy=True)
    positions = wrapper.resolve(cst.metadata.PositionProvider)
    wanted = {(_place(edit), edit.statement): edit for edit in edits}
    statements = (cst.SimpleStatementLine, cst.BaseCompoundStatement, cst.BaseSmallStatement)
    found: dict[Edit, Any] = {}
    depth: dict[Edit, int] = {}
    for node, span in positions.items():
        place = (span.start.line, span.start.column + 1, span.end.line, span.end.column + 1)
        for is_statement, sort in ((False, cst.BaseExpression), (True, statements)):
            edit = wanted.get((place, is_statement))
            if edit is None or not isinstance(node, sort):
                continue
            rank = 0 if isinstance(node, statements[:2]) else 1
            if edit not in found or rank < depth[edit]:
                found[edit], depth[edit] = node, rank
    missing = [edit for edit in edits if edit not in found]
    if missing:
        raise WeightliftError(f"no node of libcst spans line {missing[0].line}, column {missing[0].column}")
    return {node: edit for edit, node in found.items()}


def _replacing(cst: Any, targets: dict[Any, Edit]) -> Any:
    class Replacing(cst.CSTTransformer):  # type: ignore[misc]
        def on_leave(self, original_node: Any, updated_node: Any) -> Any:
            edit = targets.get(original_node)
            return updated_node if edit is None else edit.rewrite(updated_node)

    return Replacing()


def _with_import(cst: Any, module: Any, name: str) -> Any:
    """Return a module with `import name` behind its docstring and `__future__` imports, unless it is there already."""
    body = list(module.body)
    if any(_imports(line, name, module) for line in body):
        return module
    at = 0
    for i, line in enumerate(body):
        if not isinstance(line, cst.SimpleStatementLine):
            break
        first = line.body[0]
        is_docstring = i == 0 and isinstance(first, cst.Expr) and isinstance(first.value, cst.SimpleString)
        is_future = isinstance(first, cst.ImportFrom) and module.code_for_node(first).startswith("from __future__")
        if not (is_docstring or is_future):
            break
        at = i + 1
    line = cst.parse_statement(f"import {name}", config=module.config_for_parsing)
    if at < len(body) and not isinstance(body[at], cst.SimpleStatementLine):
        pass
    elif at < len(body) and hasattr(body[at], "leading_lines"):
        line = line.with_changes(leading_lines=body[at].leading_lines)
        body[at] = body[at].with_changes(leading_lines=())
    body.insert(at, line)
    return module.with_changes(body=body)


def _imports(line: Any, name: str, module: Any) -> bool:
    """Whether a line of the module's own binds the module of this name under this name."""
    parts = [part.strip() for part in module.code_for_node(line).split(";")] if hasattr(line, "body") else []
    return any(part.startswith("import ") and name in [each.strip() for each in part[7:].split(",")] for part in parts)


__all__ = ["Fix", "choose", "edits_by_path", "libcst", "rewritten"]
