"""What the rules find in one file: each is handed the nodes that it looks at, once."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from .rule import Rule
from .source_file import SourceFile
from .suppress import Suppressions
from .table import FAILED_RULE
from .values import Diagnostic


def check_file(file: SourceFile, rules: Iterable[Rule]) -> list[Diagnostic]:
    """Return what the rules find and no comment keeps quiet, in the order of the lines.

    A rule that fails has a mistake of its own: it is told with its exception (WL903), and the others go on.
    """
    quiet = Suppressions(file)
    found: list[Diagnostic] = []
    for rule in rules:
        before = len(found)
        try:
            found += _found_by(rule, file, quiet)
        except Exception as error:  # noqa: BLE001 - whatever it is: one rule is not to end the run
            del found[before:]
            found.append(_failure(rule, file, error))
    found.sort(key=lambda diagnostic: diagnostic.place)
    return found


def _found_by(rule: Rule, file: SourceFile, quiet: Suppressions) -> Iterator[Diagnostic]:
    for kind in rule.nodes:
        for node in file.nodes.get(kind, ()):
            for each in rule.check(node, file) or ():
                string = _formatted_string(file, each.node)
                place = file.range(string or each.node)
                if not quiet.cover(rule.code, place[0], place[2]):
                    fix = None if string else each.fix
                    yield Diagnostic(rule.code, rule.name, file.path, *place, each.message, fix)


def _failure(rule: Rule, file: SourceFile, error: Exception) -> Diagnostic:
    why = f"{type(error).__name__}: {error}".rstrip(": ")
    message = f"{rule.code} fails on it, which is a mistake in that rule: {why}"
    return Diagnostic(FAILED_RULE, "failed-rule", file.path, 1, 1, 1, 1, message)


def _formatted_string(file: SourceFile, node: ast.AST) -> ast.AST | None:
    """Return the outermost f-string around a node: before Python 3.12 no place inside one is that of the text."""
    outermost = None
    for above in file.ancestors(node):
        if isinstance(above, ast.JoinedStr):
            outermost = above
    return outermost
