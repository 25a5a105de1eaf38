"""A scan as plain text: a line for each file, the most dangerous first, and below it why. No line is a command."""

from __future__ import annotations

from collections.abc import Iterable

from ..actions.scan import Scan
from ..errors import plural, printable
from ..scans.values import EXIT_CODES, Evidence, Scanned, Verdict

WORST_FIRST: tuple[Verdict, ...] = tuple(sorted(EXIT_CODES, key=EXIT_CODES.__getitem__, reverse=True))
_MOST_EVIDENCE = 20
_WIDTH = max(map(len, WORST_FIRST))


def render_scan(found: Scan) -> str:
    """Return the page that `weightlift scan` prints.

    Every line begins with a word of ours: on the page of a build, a line that begins as a file's name wants
    it to would be a command (`::add-mask::`).
    """
    lines = [line for verdict in WORST_FIRST for file in found.of(verdict) for line in _file(file)]
    return "\n".join(map(printable, [*lines, summary(found)]))


def summary(found: Scan) -> str:
    """Return how many files got which verdict, in one line."""
    counts = [f"{len(files)} {verdict}" for verdict in WORST_FIRST if (files := found.of(verdict))]
    told = f"{plural(len(found.files), 'file')} scanned"
    told += f": {', '.join(counts)}" if counts else ""
    return told + (f"; {plural(found.skipped, 'other')} skipped as no checkpoints" if found.skipped else "")


def told(evidence: Evidence) -> str:
    """Return one piece of evidence in a line: where, the opcode, what it would call, and what that means."""
    place = evidence.where
    if evidence.offset is not None:
        place = f"{place} byte {evidence.offset}".lstrip()
    place = f"{place} {evidence.opcode}".strip()
    parts = [part for part in (place, evidence.call, evidence.message) if part]
    return ": ".join(parts) + (f" [{evidence.advisory}]" if evidence.advisory else "")


def _file(file: Scanned) -> Iterable[str]:
    yield f"{file.verdict:{_WIDTH}}  {file.path}{f'  ({file.format})' if file.format else ''}"
    for evidence in file.evidence[:_MOST_EVIDENCE]:
        yield f"    {evidence.severity}: {told(evidence)}"
    if len(file.evidence) > _MOST_EVIDENCE:
        yield f"    and {len(file.evidence) - _MOST_EVIDENCE} more (--json lists them)"
