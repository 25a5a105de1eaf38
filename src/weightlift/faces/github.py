"""A scan as GitHub workflow commands: one annotation for each piece of evidence, on the file that it is about.

Follows what the runner's toolkit does (actions/toolkit, packages/core/src/command.ts): `%`, CR and LF are
escaped in messages, `:` and `,` as well in properties. A name cannot end its command and begin another.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..actions.scan import Scan
from ..errors import printable
from ..findings import Severity
from ..scans.values import Scanned, Verdict
from .text_of_scans import WORST_FIRST, summary, told

_COMMANDS: dict[Severity, str] = {"danger": "error", "warning": "warning", "note": "notice", "info": "notice"}
_FAILING: tuple[Verdict, ...] = ("dangerous", "unreadable")


def render_annotations(found: Scan) -> str:
    """Return the workflow commands, the most dangerous file first, and a last line for people."""
    files = [file for verdict in WORST_FIRST for file in found.of(verdict)]
    return "\n".join([*(line for file in files for line in _annotations(file)), summary(found)])


def _annotations(file: Scanned) -> Iterable[str]:
    title = f"weightlift: {file.verdict}"
    for evidence in file.evidence:
        command = _COMMANDS[evidence.severity]
        if command == "warning" and file.verdict in _FAILING:
            command = "error"  # it ends the step, so it has to be seen among the errors
        yield f"::{command} file={_property(file.path)},title={_property(title)}::{_data(told(evidence))}"
    if not file.evidence and file.verdict != "clean":
        yield f"::error file={_property(file.path)},title={_property(title)}::{_data(file.verdict)}"


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a value of a command. A line break stays one, escaped, so that the path is still that of the file."""
    parts = "".join(part if part in "\r\n" else printable(part) for part in text)
    escaped = parts.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace(":", "%3A").replace(",", "%2C")
