"""Scans and findings in code as GitHub workflow commands: an annotation for each, on the file that it is about.

Follows what the runner's toolkit does (actions/toolkit, packages/core/src/command.ts): `%`, CR and LF are
escaped in messages, `:` and `,` as well in properties. A name cannot end its command and begin another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..actions.lint import Lint
from ..actions.scan import Scan
from ..errors import printable
from ..findings import Severity
from ..scans.values import Scanned, Verdict
from .text_of_lints import lint_summary
from .text_of_scans import WORST_FIRST, summary, told

_COMMANDS: dict[Severity, str] = {"danger": "error", "warning": "warning", "note": "notice", "info": "notice"}
_FAILING: tuple[Verdict, ...] = ("dangerous", "unreadable")


def render_annotations(found: Scan) -> str:
    """Return the workflow commands, the most dangerous file first, and a last line for people."""
    files = [file for verdict in WORST_FIRST for file in found.of(verdict)]
    return "\n".join([*(line for file in files for line in _annotations(file)), summary(found)])


def lint_annotations(found: Lint) -> str:
    """Return the workflow commands, files that could not be looked at first, and a last line for people.

    In a notebook the annotation stands on the file, since its lines are those of a cell.
    """
    lines = []
    for each in (*found.unreadable, *found.diagnostics):
        command = "error" if each in found.unreadable or each.code.startswith("WL1") else "warning"
        place = {"line": each.line, "endLine": each.end_line, "col": each.column, "endColumn": each.end_column}
        if each.cell is not None:
            place = {}
        elif each.end_line != each.line:
            del place["col"], place["endColumn"]  # columns are for a place on one line
        message = each.message if each.cell is None else f"cell {each.cell}, line {each.line}: {each.message}"
        lines.append(_command(command, each.path, place, f"{each.code} {each.name}", message))
    return "\n".join([*lines, lint_summary(found)])


def _annotations(file: Scanned) -> Iterable[str]:
    title = f"weightlift: {file.verdict}"
    for evidence in file.evidence:
        command = _COMMANDS[evidence.severity]
        if command == "warning" and file.verdict in _FAILING:
            command = "error"  # it ends the step, so it has to be seen among the errors
        yield _command(command, file.path, {}, title, told(evidence))
    if not file.evidence and file.verdict != "clean":
        yield _command("error", file.path, {}, title, file.verdict)


def _command(command: str, path: str, place: Mapping[str, int], title: str, message: str) -> str:
    inner = "".join(f"{name}={value}," for name, value in place.items())
    return f"::{command} file={_property(path)},{inner}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a value of a command. A line break stays one, escaped, so that the path is still that of the file."""
    parts = "".join(part if part in "\r\n" else printable(part) for part in text)
    escaped = parts.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace(":", "%3A").replace(",", "%2C")
