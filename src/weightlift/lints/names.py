"""What a name in a file is short for: `import torch as th`, `from torch import load as read`, `nn = torch.nn`."""

from __future__ import annotations

import ast

from ..typed import TYPE_CHECKING

if TYPE_CHECKING:
    from .bindings import Binding
    from .source_file import SourceFile

_DEEPEST = 8
"""How many assignments are followed from one name to another."""


class Names:
    """Resolves names through the imports that are in sight where they are used."""

    __slots__ = ("_file",)

    def __init__(self, file: SourceFile) -> None:
        self._file = file

    def qualified(self, node: ast.AST | None, depth: int = 0) -> str | None:
        """Return the full dotted name, None where it is not certain.

        A name that nothing in the file binds is itself: `torch.load` in a snippet without imports, `open`. A class or
        function of the file is None, as it is nobody else's.
        """
        if not isinstance(node, ast.Name | ast.Attribute) or depth > _DEEPEST:
            return None
        known = self._file.known.names
        if node not in known:
            known[node] = self._qualified(node, depth)
        return known[node]

    def _qualified(self, node: ast.AST, depth: int) -> str | None:
        tail: list[str] = []
        while isinstance(node, ast.Attribute):
            tail.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        bindings = self._file.flow.in_sight(node)
        if not bindings:
            return ".".join([node.id, *reversed(tail)])
        found = {self._behind(binding, node.id, depth) for binding in bindings}
        root = found.pop()
        if root is None or found:
            return None
        return ".".join([root, *reversed(tail)])

    def _behind(self, binding: Binding, name: str, depth: int) -> str | None:
        if binding.kind == "import":
            return imported(binding.owner, name)
        if binding.kind == "assign" and isinstance(binding.value, ast.Name | ast.Attribute):
            return self.qualified(binding.value, depth + 1)
        return None


def imported(statement: ast.AST, name: str) -> str | None:
    """Return what an import statement binds a name to: `nn` -> `torch.nn`; a relative import begins with dots."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.asname == name:
                return alias.name
            if alias.asname is None and alias.name.partition(".")[0] == name:
                return name
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            if (alias.asname or alias.name) == name:
                module = "." * statement.level + (statement.module or "")
                return f"{module}{'' if module.endswith('.') else '.'}{alias.name}"
    return None
