"""Findings in code as plain text: a line for each, as compilers and editors spell it, and a last line that counts."""

from __future__ import annotations

from ..actions.lint import Lint
from ..errors import plural, printable
from ..lints.values import Diagnostic


def render_lint(found: Lint) -> str:
    """Return the page that `weightlift lint` prints."""
    lines = [
        f"{place(each)}: {each.code}{mark(each)} {each.message}" for each in (*found.unreadable, *found.diagnostics)
    ]
    return "\n".join(map(printable, [*lines, lint_summary(found)]))


def place(diagnostic: Diagnostic) -> str:
    """Return where a finding is: `train.py:3:1`, in a notebook `train.ipynb:cell 2:3:1`."""
    cell = "" if diagnostic.cell is None else f"cell {diagnostic.cell}:"
    return f"{diagnostic.path}:{cell}{diagnostic.line}:{diagnostic.column}"


def mark(diagnostic: Diagnostic) -> str:
    """Return how a finding can be fixed: ` [*]` by `--fix`, ` [-]` with `--unsafe-fixes` as well."""
    if diagnostic.fix is None:
        return ""
    return " [*]" if diagnostic.fix.grade == "safe" else " [-]"


def lint_summary(found: Lint) -> str:
    """Return the counts, and what can be fixed how, in one line."""
    safe = sum(1 for each in found.diagnostics if each.fix and each.fix.grade == "safe")
    unsafe = sum(1 for each in found.diagnostics if each.fix and each.fix.grade == "unsafe")
    told = [f"{plural(len(found.diagnostics), 'finding')} in {plural(found.files, 'file')}"]
    if found.fixed:
        told.append(f"{len(found.fixed)} fixed")
    if found.unreadable:
        told.append(f"{len(found.unreadable)} unreadable")
    if safe:
        told.append(f"[*] {safe} by --fix")
    if unsafe:
        told.append(f"[-] {unsafe} by --fix --unsafe-fixes")
    return "; ".join(told)
