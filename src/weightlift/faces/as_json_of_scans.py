"""A scan as a JSON document: complete, in a stable order."""

from __future__ import annotations

import json
from dataclasses import asdict

from ..actions.scan import Scan
from .as_json import SCHEMA


def scan_json(found: Scan) -> str:
    """Return every file with its verdict and evidence, in the order of the scan."""
    return json.dumps({"schema": SCHEMA, "kind": "scan", **asdict(found)}, indent=1)
