"""The checkpoints of a run as a JSON document. A metric that JSON has no number for is "nan", "inf" or "-inf"."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

from ..actions.runs import Runs
from ..typed import Any
from .as_json import SCHEMA


def runs_json(found: Runs) -> str:
    """Return everything that `runs` found and did."""
    body = asdict(found)
    for stored in [*body["steps"], *body["removed"]]:
        stored["metrics"] = {name: _number(value) for name, value in stored["metrics"].items()}
    return json.dumps({"schema": SCHEMA, "kind": "runs", **body}, indent=1, allow_nan=False)


def _number(value: Any) -> Any:
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
