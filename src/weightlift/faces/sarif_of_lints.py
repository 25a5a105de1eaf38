"""Findings in code as SARIF 2.1.0, for code scanning services: a rule with its page, a result with its place."""

from __future__ import annotations

from ..actions.lint import Lint
from ..actions.rule import rule
from ..errors import printable
from ..lints.table import RULES
from ..lints.values import Diagnostic
from ..typed import Any
from .sarif import sarif_log, uri_of


def lint_sarif(found: Lint) -> str:
    """Return the log file: the rules that found something, and a result for each finding and unreadable file."""
    every = (*found.unreadable, *found.diagnostics)
    codes = sorted({each.code for each in every})
    paths = sorted({each.path for each in every})
    results = [_result(each, codes.index(each.code), paths.index(each.path)) for each in every]
    rules = [_rule(code) for code in codes]
    artifacts = [{"location": {"uri": uri_of(path)}} for path in paths]
    return sarif_log(rules, artifacts, results, exit_code=found.exit_code, columns="unicodeCodePoints")


def _rule(code: str) -> dict[str, Any]:
    if code not in RULES:
        text = "A file could not be read, parsed or written, so it must not be taken for clean."
        return {"id": code, "shortDescription": {"text": text}, "defaultConfiguration": {"level": "error"}}
    one = rule(code)
    return {
        "id": code,
        "name": one.name.title().replace("-", ""),
        "shortDescription": {"text": one.summary},
        "help": {"text": one.page, "markdown": one.page},
        "defaultConfiguration": {"level": _level(code)},
    }


def _result(each: Diagnostic, rule_index: int, artifact: int) -> dict[str, Any]:
    region = {"startLine": each.line, "startColumn": each.column, "endLine": each.end_line}
    physical: dict[str, Any] = {
        "artifactLocation": {"uri": uri_of(each.path), "index": artifact},
        "region": region | {"endColumn": each.end_column},
    }
    location: dict[str, Any] = {"physicalLocation": physical}
    if each.cell is not None:  # its lines are those of a cell, and not of the file
        physical["region"] = {"startLine": 1}
        name = f"cell {each.cell}, line {each.line}, column {each.column}"
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "member"}]
    return {
        "ruleId": each.code,
        "ruleIndex": rule_index,
        "level": _level(each.code),
        "message": {"text": printable(each.message)},
        "locations": [location],
    }


def _level(code: str) -> str:
    return "error" if code.startswith(("WL1", "WL9")) else "warning"
