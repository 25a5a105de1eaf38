"""Findings in code as a JSON document: complete, in a stable order."""

from __future__ import annotations

import json

from ..actions.lint import Lint
from ..lints.rule import Rule
from ..lints.values import Diagnostic
from ..typed import Any
from .as_json import SCHEMA


def lint_json(found: Lint) -> str:
    """Return every finding with its place, and of a fix its grade and title and the places that it changes."""
    body: dict[str, Any] = {"files": found.files, "exit_code": found.exit_code}
    for name in ("diagnostics", "unreadable", "fixed"):
        body[name] = [_diagnostic(each) for each in getattr(found, name)]
    return json.dumps({"schema": SCHEMA, "kind": "lint", **body}, indent=1)


def rule_json(one: Rule) -> str:
    """Return what there is to know of a rule."""
    names = ("code", "name", "summary", "grade", "on_by_default", "page")
    return json.dumps({"schema": SCHEMA, "kind": "rule", **{name: getattr(one, name) for name in names}}, indent=1)


def _diagnostic(each: Diagnostic) -> dict[str, Any]:
    names = ("code", "name", "path", "cell", "line", "column", "end_line", "end_column", "message")
    made = {name: getattr(each, name) for name in names}
    if each.fix is None:
        return made | {"fix": None}
    places = ("path", "line", "column", "end_line", "end_column")
    edits = [{name: getattr(edit, name) for name in places} for edit in each.fix.edits]
    return made | {"fix": {"grade": each.fix.grade, "title": each.fix.title, "edits": edits}}
