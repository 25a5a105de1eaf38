"""Where a file gives names their values: every assignment, parameter, import and the like, by the name."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING, Literal
from ..values import dataclass

if TYPE_CHECKING:
    from .source_file import SourceFile

Kind = Literal["assign", "parameter", "import", "other"]
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = (*_FUNCTIONS, *_COMPREHENSIONS, ast.ClassDef, ast.Module)
_ARE_SCOPES = frozenset(SCOPES)


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """One place that gives `key` (`model`, `self.model`) a value. `value` is None where no expression is that value."""

    key: str
    kind: Kind
    owner: ast.AST
    """The statement, parameter or comprehension that binds."""
    scope: ast.AST
    value: ast.expr | None = None
    annotation: ast.expr | None = None

    @property
    def at(self) -> tuple[int, int]:
        """Where it is, to compare with where a name is used."""
        return (getattr(self.owner, "lineno", 0), getattr(self.owner, "col_offset", 0))


def key_of(node: ast.AST) -> str | None:
    """Return the dotted spelling of a name or a chain of attributes of one, else None."""
    tail: list[str] = []
    while isinstance(node, ast.Attribute):
        tail.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(tail)]) if isinstance(node, ast.Name) else None


def scope_of(file: SourceFile, node: ast.AST) -> ast.AST:
    """Return what a node's names are looked up in first: function, comprehension, class or module."""
    parents = file.parents
    below, inner, above = None, node, parents.get(node)
    while above is not None:
        if above.__class__ in _ARE_SCOPES and not _outside(above, inner, below):
            return above
        below, inner, above = inner, above, parents.get(above)
    return file.tree


def _outside(scope: ast.AST, inner: ast.AST, below: ast.AST | None) -> bool:
    """Whether a part of a scope is evaluated around it: decorators, bases, defaults, what a comprehension goes over.

    `inner` is the part right below the scope and `below` the one right below that.
    """
    if isinstance(inner, ast.comprehension):
        return inner is scope.generators[0] and below is inner.iter  # type: ignore[attr-defined]
    if isinstance(inner, ast.arguments):
        return below in inner.defaults or below in inner.kw_defaults
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        return inner in scope.decorator_list or inner is scope.returns
    if isinstance(scope, ast.ClassDef):
        return inner in scope.decorator_list or inner in scope.bases or inner in scope.keywords
    return False


def index(file: SourceFile) -> dict[str, list[Binding]]:
    """Return every binding of a file by its key, in the order of their places."""
    made: dict[str, list[Binding]] = {}
    _Index(file, made).fill()
    for bindings in made.values():
        bindings.sort(key=lambda binding: binding.at)
    return made


class _Index:
    def __init__(self, file: SourceFile, made: dict[str, list[Binding]]) -> None:
        self.file = file
        self.made = made
        self.scopes: dict[ast.AST, ast.AST] = {}
        said = file.nodes.get(ast.Global, ())
        self.globals = {(scope_of(file, each), name) for each in said for name in each.names}

    def fill(self) -> None:
        nodes = self.file.nodes
        for assign in nodes.get(ast.Assign, ()):
            for target in assign.targets:
                self.target(target, assign, assign.value)
        for assign in nodes.get(ast.AnnAssign, ()):
            if assign.value is not None or isinstance(assign.target, ast.Attribute):
                self.target(assign.target, assign, assign.value, assign.annotation)
        for walrus in nodes.get(ast.NamedExpr, ()):
            self.target(walrus.target, walrus, walrus.value)
        for kind in (ast.AugAssign, ast.For, ast.AsyncFor, ast.comprehension):
            for loop in nodes.get(kind, ()):
                self.target(loop.target, loop, None)
        for item in nodes.get(ast.withitem, ()):
            if item.optional_vars is not None:
                value = item.context_expr if _gives_itself(item.context_expr) else None
                self.target(item.optional_vars, self.file.parents[item], value)
        for delete in nodes.get(ast.Delete, ()):
            for target in delete.targets:
                self.target(target, delete, None)
        self.imports()
        self.definitions()

    def imports(self) -> None:
        for kind in (ast.Import, ast.ImportFrom):
            for statement in self.file.nodes.get(kind, ()):
                for alias in statement.names:
                    name = alias.asname or (alias.name.partition(".")[0] if kind is ast.Import else alias.name)
                    self.add(name, "import", statement)

    def definitions(self) -> None:
        nodes = self.file.nodes
        for kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
            for definition in nodes.get(kind, ()):
                self.add(definition.name, "other", definition)
        for parameter in nodes.get(ast.arg, ()):
            function = self.file.parents[self.file.parents[parameter]]
            self.put(Binding(parameter.arg, "parameter", parameter, function, None, parameter.annotation))
        for handler in nodes.get(ast.ExceptHandler, ()):
            if handler.name:
                self.add(handler.name, "other", handler)
        for matching in (ast.MatchAs, ast.MatchStar):
            for match in nodes.get(matching, ()):
                if match.name:
                    self.add(match.name, "other", match)
        for mapping in nodes.get(ast.MatchMapping, ()):
            if mapping.rest:
                self.add(mapping.rest, "other", mapping)

    def target(
        self, target: ast.AST, owner: ast.AST, value: ast.expr | None, annotation: ast.expr | None = None
    ) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            pairs = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            same = len(pairs) == len(target.elts) and not any(
                isinstance(e, ast.Starred) for e in (*pairs, *target.elts)
            )
            for i, element in enumerate(target.elts):
                self.target(element, owner, pairs[i] if same else None)
        elif isinstance(target, ast.Starred):
            self.target(target.value, owner, None)
        elif (key := key_of(target)) is not None:
            self.add(key, "other" if value is None else "assign", owner, value, annotation)

    def add(
        self,
        key: str,
        kind: Kind,
        owner: ast.AST,
        value: ast.expr | None = None,
        annotation: ast.expr | None = None,
    ) -> None:
        scope = self.scope(owner)
        if self.globals and (scope, key.partition(".")[0]) in self.globals:
            scope = self.file.tree
        self.put(Binding(key, kind, owner, scope, value, annotation))

    def scope(self, owner: ast.AST) -> ast.AST:
        """Return the scope that an owner binds in; a walrus in a comprehension does so around it."""
        if isinstance(owner, ast.stmt):  # the statements of a block are many, their scope is one
            block = self.file.parents[owner]
            if block not in self.scopes:
                self.scopes[block] = scope_of(self.file, owner)
            return self.scopes[block]
        scope = scope_of(self.file, owner)
        while isinstance(owner, ast.NamedExpr) and isinstance(scope, _COMPREHENSIONS):
            scope = scope_of(self.file, scope)
        return scope

    def put(self, binding: Binding) -> None:
        self.made.setdefault(binding.key, []).append(binding)


def _gives_itself(context: ast.expr) -> bool:
    """Whether `with X as f` makes f what X is: a file that is opened."""
    return (
        isinstance(context, ast.Call)
        and isinstance(context.func, ast.Name | ast.Attribute)
        and (
            (context.func.id if isinstance(context.func, ast.Name) else context.func.attr)
            in ("open", "NamedTemporaryFile")
        )
    )
