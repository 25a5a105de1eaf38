"""`--limit NAME=VALUE`: one budget of reading for one command."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import LimitError, shown
from ...limits import BUDGETS, DEFAULT_LIMITS, Limits
from ...typed import Any
from ...values import replace
from .sizes import size

HELP = "a budget for reading, for instance materialised_bytes=2GiB (repeatable; a wrong name lists all)"


def limits_of(given: Sequence[str]) -> Limits:
    """Return the defaults with the named budgets in their place.

    Raises:
        LimitError: no such budget, or a value that is no number or size.
    """
    wanted: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in BUDGETS:
            budgets = ", ".join(f"{each}={getattr(DEFAULT_LIMITS, each)}" for each in BUDGETS)
            raise LimitError(f"--limit {text}", expected=f"NAME=VALUE with one of {budgets}")
        wanted[name] = _value(name, value)
    return replace(DEFAULT_LIMITS, **wanted)


def _value(name: str, value: str) -> int | float:
    try:
        return float(value) if name == "seconds" else size(value)
    except (ValueError, OverflowError):
        kind = "seconds" if name == "seconds" else "a number or a size such as 2GiB"
        raise LimitError(f"--limit {name}={shown(value)}", expected=kind) from None
