"""The checkpoints of a run as a JSON document. A metric that JSON has no number for is "nan", "inf" or "-inf"."""

from __future__ import annotations

import json
from dataclasses import asdict

from ..actions.runs import Runs
from ..writers.manifest import spelled
from .as_json import SCHEMA


def runs_json(found: Runs) -> str:
    """Return everything that `runs` found and did."""
    body = asdict(found)
    for stored in [*body["steps"], *body["removed"]]:
        stored["metrics"] = {name: spelled(value) for name, value in stored["metrics"].items()}
    return json.dumps({"schema": SCHEMA, "kind": "runs", **body}, indent=1, allow_nan=False)
