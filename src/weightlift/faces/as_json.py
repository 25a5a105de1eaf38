"""Results as JSON documents: complete, in a stable order, with a version."""

from __future__ import annotations

import json
from dataclasses import asdict

from ..actions.extract import Extraction
from ..actions.inspect import Inspection
from ..errors import ChecksumError, TwoReadingsError, WeightliftError
from ..typed import Any

SCHEMA = 1


def _dump(kind: str, body: dict[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, "kind": kind, **body}, indent=1)


def inspection_json(found: Inspection) -> str:
    """Return everything that `inspect` found, every tensor included."""
    body = asdict(found)
    for summary in body["state_dicts"]:
        summary["dtypes"] = {
            name: {"tensors": count, "numel": numel, "nbytes": nbytes}
            for name, (count, numel, nbytes) in summary["dtypes"].items()
        }
    return _dump("inspection", body)


def extraction_json(done: Extraction) -> str:
    """Return what was written where."""
    return _dump(
        "extraction",
        {
            "source": done.source,
            "out": done.written.path,
            "name": done.state_dict.name,
            "tensors": done.written.tensors,
            "nbytes": done.written.nbytes,
            "ties": dict(done.written.ties),
            "unshared": list(done.written.unshared),
            "findings": [asdict(finding) for finding in done.findings],
        },
    )


def error_json(error: WeightliftError) -> str:
    """Return an error as where, found, expected, remedy."""
    return _dump(
        "error",
        {
            "error": type(error).__name__,
            "where": list(error.where),
            "found": error.found,
            "expected": error.expected,
            "remedy": error.remedy,
            "message": str(error),
            **_told_apart(error),
        },
    )


def _told_apart(error: WeightliftError) -> dict[str, Any]:
    """What an error says for programs: its code, and what each of two readers would see."""
    told: dict[str, Any] = {}
    if isinstance(error, TwoReadingsError | ChecksumError):
        told["code"] = error.code
    if isinstance(error, TwoReadingsError):
        told["readings"] = list(error.readings)
    return told
