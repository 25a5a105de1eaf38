"""What the rules find in one file: each is handed the nodes that it looks at, once."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .rule import Rule
from .source_file import SourceFile
from .suppress import Suppressions
from .values import Diagnostic


def check_file(file: SourceFile, rules: Iterable[Rule]) -> list[Diagnostic]:
    """Return what the rules find and no comment keeps quiet, in the order of the lines."""
    quiet = Suppressions(file)
    found = []
    for rule in rules:
        for kind in rule.nodes:
            for node in file.nodes.get(kind, ()):
                for each in rule.check(node, file) or ():
                    string = _formatted_string(file, each.node)
                    place = file.range(string or each.node)
                    if not quiet.cover(rule.code, place[0], place[2]):
                        fix = None if string else each.fix
                        found.append(Diagnostic(rule.code, rule.name, file.path, *place, each.message, fix))
    found.sort(key=lambda diagnostic: diagnostic.place)
    return found


def _formatted_string(file: SourceFile, node: ast.AST) -> ast.AST | None:
    """Return the outermost f-string around a node: before Python 3.12 no place inside one is that of the text."""
    outermost = None
    for above in file.ancestors(node):
        if isinstance(above, ast.JoinedStr):
            outermost = above
    return outermost
