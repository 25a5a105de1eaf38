"""One file to its verdict."""

from __future__ import annotations

from ..errors import UnknownFormatError, WeightliftError
from ..formats import Opening, open_source
from ..limits import DEFAULT_LIMITS, Limits
from ..pickles.known_globals import verdict_of
from ..sources import Source
from .values import Evidence, Scanned


def scan_source(source: Source, *, limits: Limits = DEFAULT_LIMITS, deep: bool = False) -> Scanned:
    """Return the verdict on one file and why. Never raises for what a file holds."""
    path = str(getattr(source, "path", source.name))
    try:
        checkpoint = open_source(source, Opening(limits))
    except WeightliftError as error:
        code = "not-a-checkpoint" if isinstance(error, UnknownFormatError) else "unreadable"
        return Scanned(path, "unreadable", "", (Evidence(code, "warning", "", str(error)),), 0, 0)
    evidence = []
    for named, offset in checkpoint.globals.items():
        verdict = verdict_of(named)
        if verdict != "clean":
            severity = "danger" if verdict == "dangerous" else "warning"
            evidence.append(Evidence(f"{verdict}-global", severity, "", f"names {named}", offset, "GLOBAL"))
    codes = {each.code for each in evidence}
    verdict = "dangerous" if "dangerous-global" in codes else "unknown" if codes else "clean"
    return Scanned(path, verdict, checkpoint.format, tuple(evidence), 1, 0)
