"""One source file: its tree, walked once, and what rules ask about a node of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..typed import TYPE_CHECKING, Any
from .flow import Flow, Known
from .names import Names
from .values import Edit, Found, Rewrite, Settings

if TYPE_CHECKING:
    from .pairs import Project

_NO_NODES = frozenset({"ctx", "op", "ops", "id", "attr", "kind", "level", "module", "type_comment", "type_ignores"})
_FIELDS: dict[type, tuple[str, ...]] = {}
_LAST_NAMES: dict[tuple[str, ...], frozenset[str]] = {}


class SourceFile:
    """A parsed file.

    `nodes` are its nodes by their class, `parents` the node above each. What rules ask is spelled here: `qualified`,
    `values`, `holds`, `parent`, `ancestors`, `argument`, `edit`; `names` and `flow` answer it.
    """

    __slots__ = ("_lines", "data", "known", "nodes", "parents", "path", "project", "settings", "tree")

    def __init__(
        self, path: str, data: bytes, settings: Settings | None = None, project: Project | None = None
    ) -> None:
        """Parse and walk a file.

        Raises:
            SyntaxError: The file is not Python (ValueError for null bytes and text that is not in the encoding that it
                declares, RecursionError for absurd nesting).
        """
        self.path = path
        self.data = data
        self.settings = settings or Settings()
        self.project = project
        self.tree = parsed(data)
        self.nodes, self.parents = _walk(self.tree)
        self.known = Known()
        self._lines: list[str] | None = None if data.isascii() else decoded(data)

    @property
    def names(self) -> Names:
        """What names are short for. Made anew each time: a tree that nothing points back at is freed at once."""
        return Names(self)

    @property
    def flow(self) -> Flow:
        """What names hold."""
        return Flow(self)

    @property
    def lines(self) -> list[str]:
        """The lines as text, without their ends."""
        if self._lines is None:
            self._lines = decoded(self.data)
        return self._lines

    # What a node is and what it stands in

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node right above, None of the module."""
        return self.parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes above, innermost first."""
        above = self.parents.get(node)
        while above is not None:
            yield above
            above = self.parents.get(above)

    def enclosing(self, node: ast.AST, *kinds: type[ast.AST]) -> Any:
        """Return the innermost node of these kinds that `node` stands in, or None."""
        return next((above for above in self.ancestors(node) if isinstance(above, kinds)), None)

    def function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """Return the function that a node stands in."""
        found: ast.FunctionDef | ast.AsyncFunctionDef | None
        found = self.enclosing(node, ast.FunctionDef, ast.AsyncFunctionDef)
        return found

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """Return the class whose body, or a method of it, a node stands in."""
        found: ast.ClassDef | None = self.enclosing(node, ast.ClassDef)
        return found

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement that a node is part of, itself if it is one."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def loop(self, node: ast.AST) -> ast.For | ast.AsyncFor | ast.While | None:
        """Return the innermost loop of the same function that a node stands in."""
        for above in self.ancestors(node):
            if isinstance(above, ast.For | ast.AsyncFor | ast.While):
                return above
            if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
                return None
        return None

    def is_discarded(self, node: ast.expr) -> bool:
        """Whether nothing is done with what an expression gives."""
        return isinstance(self.parents.get(node), ast.Expr)

    # What names mean

    def qualified(self, node: ast.AST | None) -> str | None:
        """Return the full dotted name behind a name or attribute: `th.load` -> `torch.load`; None if not certain."""
        return Names(self).qualified(node)

    def calls(self, node: ast.AST | None, *names: str) -> bool:
        """Whether a node is a call of one of these fully dotted names."""
        if node.__class__ is not ast.Call:
            return False
        func: ast.expr = node.func
        if func.__class__ is ast.Attribute and func.attr not in _last_names(names):
            return False  # most calls of a file, without a look at what their names stand for
        return Names(self).qualified(func) in names

    def values(self, node: ast.AST) -> list[ast.expr] | None:
        """Return every expression that a name may hold where it is used; None where that is not certain."""
        return Flow(self).values(node)

    def value(self, node: ast.AST) -> ast.expr | None:
        """Return the one expression that a name holds where it is used, itself for any other expression, else None."""
        values = Flow(self).values(node)
        return values[0] if values is not None and len(values) == 1 else None

    def holds(self, node: ast.AST | None) -> str | None:
        """Return the kind of what an expression gives, of those in `kinds`: `module`, ...; None if not certain."""
        return Flow(self).holds(node)

    # Places and edits

    def range(self, node: ast.AST) -> tuple[int, int, int, int]:
        """Return line, column, end line, end column: from 1, in characters, the end past the last one."""
        line, end_line = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        column, end_column = node.col_offset, node.end_col_offset  # type: ignore[attr-defined]
        return line, self._characters(line, column), end_line, self._characters(end_line, end_column)

    def text(self, node: ast.AST) -> str:
        """Return the source text of a node."""
        line, column, end_line, end_column = self.range(node)
        lines = self.lines[line - 1 : end_line]
        lines[-1] = lines[-1][: end_column - 1]
        lines[0] = lines[0][column - 1 :]
        return "\n".join(lines)

    def edit(self, node: ast.AST, rewrite: Rewrite, *, imports: tuple[str, ...] = ()) -> Edit:
        """Return the edit that hands a node, as libcst has it, to `rewrite`."""
        return Edit(*self.range(node), rewrite, imports=imports, statement=isinstance(node, ast.stmt))

    def _characters(self, line: int, offset_bytes: int) -> int:
        if self.data.isascii():
            return offset_bytes + 1
        text = self.lines[line - 1]
        return offset_bytes + 1 if text.isascii() else len(text.encode()[:offset_bytes].decode(errors="ignore")) + 1


def argument(call: ast.Call, index: int, name: str) -> ast.expr | None:
    """Return what is passed for a parameter, by position (-1: by keyword alone) or by keyword; None for nothing."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if 0 <= index < len(call.args) and not any(isinstance(arg, ast.Starred) for arg in call.args[: index + 1]):
        return call.args[index]
    return None


def is_open(call: ast.Call) -> bool:
    """Whether a call passes `*args` or `**kwargs`, so that what it passes is not all to be seen."""
    return any(isinstance(arg, ast.Starred) for arg in call.args) or any(kw.arg is None for kw in call.keywords)


def method(call: ast.AST | None, *names: str) -> ast.expr | None:
    """Return what a method of one of these names is called on; None if it is no such call."""
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in names:
        return call.func.value
    return None


def is_constant(node: ast.AST | None, value: object) -> bool:
    """Whether a node is this constant: True, False, None, a number or a string."""
    return isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value == value


def parsed(data: bytes) -> ast.Module:
    """Return the tree of a file's bytes, in the encoding that they declare. Warnings about the file are its own."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(data)


def decoded(data: bytes) -> list[str]:
    """Return the lines of a file as Python's parser counts them.

    Raises:
        SyntaxError: The file declares an encoding that there is not, or is in none that it declares (also ValueError).
    """
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _last_names(names: tuple[str, ...]) -> frozenset[str]:
    """Return the last parts of dotted names. The same few tuples are asked for, once for every call of a file."""
    found = _LAST_NAMES.get(names)
    if found is None:
        found = _LAST_NAMES[names] = frozenset(name.rpartition(".")[2] for name in names)
    return found


def _walk(tree: ast.Module) -> tuple[dict[type[ast.AST], list[Any]], dict[ast.AST, ast.AST]]:
    """Return the nodes by class, each class in the order of depth, and the parent of each."""
    by_class: dict[type[ast.AST], list[Any]] = {}
    parents: dict[ast.AST, ast.AST] = {}
    fields = _FIELDS
    nodes: list[ast.AST] = [tree]
    ast_class = ast.AST
    for node in nodes:  # grows as it is read
        kind = node.__class__
        try:
            by_class[kind].append(node)
        except KeyError:
            by_class[kind] = [node]
            fields[kind] = tuple(name for name in kind._fields if name not in _NO_NODES)
        for name in fields[kind]:
            value = getattr(node, name)
            if value.__class__ is list:
                for item in value:
                    if isinstance(item, ast_class):
                        nodes.append(item)
                        parents[item] = node
            elif isinstance(value, ast_class):
                nodes.append(value)
                parents[value] = node
    return by_class, parents


__all__ = ["Found", "SourceFile", "argument", "decoded", "is_constant", "is_open", "method", "parsed"]
