"""Plain data: counters, metrics, configuration."""

from __future__ import annotations

from collections.abc import Mapping

from ...typed import Any
from .base import Filling, Kind, Reading
from .stateful import KIND as STATEFUL


def _read(part: Any, name: str, reading: Reading) -> dict[str, Any]:
    return {"value": reading.encoder.encode(part, name)}


def _fill(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> Any:
    if hasattr(part, "load_state_dict") and not isinstance(part, type):
        return STATEFUL.fill({"class": None, "state": document.get("value")}, part, name, filling)
    return filling.value(document.get("value"), name)


KIND = Kind("value", lambda name, part: True, _read, _fill)
