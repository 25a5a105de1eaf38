"""The numbers that a checkpoint is ranked by."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import StoreError, shown
from ..typed import Any


def metric_values(metrics: object) -> dict[str, float]:
    """Return metrics as plain numbers: of Python, of numpy, or tensors and arrays without dimensions.

    Raises:
        StoreError: one is no number, all such by name.
    """
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise StoreError(f"metrics={shown(metrics)}", expected="a dict of numbers")
    values: dict[str, float] = {}
    refused = []
    for name, value in dict(metrics).items():
        number = _number(value)
        if not isinstance(name, str):
            refused.append(f"the name {shown(name, 40)} is no text")
        elif number is None:
            refused.append(f"{name!r} is a {type(value).__name__}, {shown(value, 40)}")
        else:
            values[name] = number
    if refused:
        raise StoreError(
            "; ".join(refused), expected="a number for each name", remedy="take float() of it", where="metrics"
        )
    return values


def _number(value: Any) -> float | None:
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, int) else float(value)
