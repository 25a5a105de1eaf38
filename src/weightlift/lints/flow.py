"""What a name holds where it is used: the assignments that reach it, as far as the text makes that certain."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING, TypeAlias
from . import kinds
from .bindings import Binding, index, key_of, scope_of

if TYPE_CHECKING:
    from .source_file import SourceFile

_BLOCKS = ("body", "orelse", "finalbody", "handlers")
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_DEEPEST = 50
"""How many assignments are followed from what a name holds to what that was made from."""
Path: TypeAlias = "dict[ast.AST, ast.AST | None]"
_UNCONDITIONAL = (ast.With, ast.AsyncWith)


class Known:
    """What has been found out about a file, kept with it."""

    __slots__ = ("bindings", "blocks", "depth", "kinds", "names", "uses")

    def __init__(self) -> None:
        self.bindings: dict[str, list[Binding]] | None = None
        self.uses: dict[tuple[ast.AST, str], set[str]] | None = None
        self.kinds: dict[ast.AST, str | None] = {}
        self.names: dict[ast.AST, str | None] = {}
        self.blocks: dict[ast.AST, dict[ast.AST, str]] = {}
        self.depth = 0


class Flow:
    """The flow of a file. Its bindings are made when the first is asked for."""

    __slots__ = ("_file", "_known")

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._known = file.known

    @property
    def bindings(self) -> dict[str, list[Binding]]:
        """Every binding of the file by its key."""
        if self._known.bindings is None:
            self._known.bindings = index(self._file)
        return self._known.bindings

    def in_sight(self, node: ast.AST) -> list[Binding]:
        """Return the bindings of the scope that a name's value comes from: the innermost that binds it."""
        key = key_of(node)
        every = self.bindings.get(key, []) if key else []
        if not every:
            return []
        scope: ast.AST = scope_of(self._file, node)
        innermost = True
        while True:
            here = [binding for binding in every if binding.scope is scope]
            if here and (innermost or not isinstance(scope, ast.ClassDef)):
                return here
            if scope is self._file.tree:
                return []
            scope, innermost = scope_of(self._file, scope), False

    def reaching(self, node: ast.AST) -> list[Binding]:
        """Return the bindings whose value a name may hold where it stands; none where nothing in the file binds it."""
        here = self.in_sight(node)
        if not here:
            return self._of_attribute(node)
        if here[0].scope is not scope_of(self._file, node):
            return here  # of an outer scope: any of them may have run last
        return self._before(node, here)

    def values(self, node: ast.AST) -> list[ast.expr] | None:
        """Return every expression that a name may hold where it stands; None where one of them is not to be seen."""
        if key_of(node) is None:
            return [node] if isinstance(node, ast.expr) else None
        found = []
        for binding in self.reaching(node):
            if binding.kind != "assign" or binding.value is None:
                return None
            found.append(binding.value)
        return found or None

    def holds(self, node: ast.AST | None) -> str | None:
        """Return the kind of what an expression gives, None where that is not certain."""
        if node is None:
            return None
        known = self._known
        if node not in known.kinds:
            if known.depth > _DEEPEST:
                return None
            known.kinds[node] = None  # for a name that is assigned from itself
            known.depth += 1
            known.kinds[node] = kinds.kind_of(self._file, node)
            known.depth -= 1
        return known.kinds[node]

    def used_as(self, node: ast.AST) -> set[str]:
        """Return the attributes that are taken of a name in the scope where it stands, of `self.x` in the class."""
        uses = self._known.uses
        if uses is None:
            uses = self._known.uses = {}
            for attribute in self._file.nodes.get(ast.Attribute, ()):
                key = key_of(attribute.value)
                if key is not None:
                    uses.setdefault((self._home(attribute, key), key), set()).add(attribute.attr)
        key = key_of(node) or ""
        return uses.get((self._home(node, key), key), set())

    def _home(self, node: ast.AST, key: str) -> ast.AST:
        """Return where a name means one thing: its scope, for an attribute of `self` the class."""
        inside = self._file.class_of(node) if key.startswith("self.") else None
        return inside or scope_of(self._file, node)

    def _of_attribute(self, node: ast.AST) -> list[Binding]:
        """Return the bindings of `self.x` in the other methods of the class."""
        key = key_of(node)
        owner = self._file.class_of(node)
        if key is None or not key.startswith("self.") or owner is None:
            return []
        return [binding for binding in self.bindings.get(key, []) if self._file.class_of(binding.owner) is owner]

    def _before(self, node: ast.AST, here: list[Binding]) -> list[Binding]:
        """Return those of a scope's bindings that reach a use: from the last that always runs, and around loops."""
        at = (node.lineno, node.col_offset)  # type: ignore[attr-defined]
        above = self._path(node)
        last = None
        reaching: list[Binding] = []
        for binding in here:
            if binding.at >= at or _comes_first(binding, above):
                continue
            if binding.kind == "parameter" or self._always_runs(binding, above):
                last, reaching = binding, [binding]
            else:
                reaching.append(binding)
        loops = [loop for loop in above if isinstance(loop, _LOOPS) and getattr(loop, "iter", None) not in above]
        if not loops:
            return reaching
        anew = {last.owner, *self._file.ancestors(last.owner)} if last is not None else set()
        # a loop in which the last that always runs stands, or that is it, forgets what the turn before has bound
        for binding in here:
            if binding in reaching or (binding.at < at and not _comes_first(binding, above)):
                continue
            around = set(self._file.ancestors(binding.owner))
            if any(loop in around and loop not in anew for loop in loops):
                reaching.append(binding)
        return reaching

    def _path(self, node: ast.AST) -> Path:
        """Return a node and those above it, each with the one on the way down from it."""
        made: Path = {node: None}
        below = node
        for above in self._file.ancestors(node):
            made[above] = below
            below = above
        return made

    def _always_runs(self, binding: Binding, above: Path) -> bool:
        """Whether a binding runs whenever the use below it is reached: it stands before it, in a block around it."""
        owner = binding.owner
        if owner in above:
            return True  # the loop or `with` that binds the name around the use
        if isinstance(owner, ast.comprehension):
            return self._file.parents[owner] in above
        statement = owner if isinstance(owner, ast.stmt) else self._file.statement(owner)
        parent = self._file.parents[statement]
        while isinstance(parent, _UNCONDITIONAL):
            statement, parent = parent, self._file.parents[parent]
        if isinstance(statement, _LOOPS) and statement is owner:
            return False  # it may have had nothing to go over
        inner = above.get(parent)
        return inner is not None and self._block(parent, statement) == self._block(parent, inner) is not None

    def _block(self, parent: ast.AST, part: ast.AST) -> str | None:
        """Return which of the blocks of a statement a part of it stands in."""
        blocks = self._known.blocks.get(parent)
        if blocks is None:
            blocks = self._known.blocks[parent] = {}
            for name in _BLOCKS:
                block = getattr(parent, name, None)
                if isinstance(block, list):
                    blocks.update(dict.fromkeys(block, name))
        return blocks.get(part)


def _comes_first(binding: Binding, above: Path) -> bool:
    """Whether a use is evaluated before what binds around it: in the value that is assigned, in what is gone over."""
    owner = binding.owner
    if isinstance(owner, ast.For | ast.AsyncFor):
        return owner.iter in above
    if isinstance(owner, ast.With | ast.AsyncWith):
        return any(item.context_expr in above for item in owner.items)
    return binding.value is not None and binding.value in above
