"""The global random generators of Python, numpy and torch, as one part: `rng=True`."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping

from ...errors import MalformedError, PlanError
from ...tensors.torch_random import global_states, set_global_states
from ...typed import Any
from .base import Change, Filling, Kind, Reading


def _read(part: Any, name: str, reading: Reading) -> dict[str, Any]:
    del part
    return {"states": reading.encoder.encode(_states(), name)}


def _states() -> dict[str, Any]:
    states: dict[str, Any] = {"python": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        states["numpy"] = numpy.random.get_state()
    if "torch" in sys.modules:
        states["torch"] = global_states()
    return states


def _fill(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> Any:
    states = filling.value(document.get("states"), name)
    if not isinstance(states, dict) or "python" not in states:
        raise MalformedError("no states of random generators", where=name)
    before = _states()
    filling.changes.append(Change(lambda: filling.notes.extend(_set(states, name)), lambda: _set(before, name)))
    return part


def _set(states: Mapping[str, Any], name: str) -> list[str]:
    """Set every generator; return what could not be set here."""
    try:
        random.setstate(states["python"])
        if "numpy" in states:
            import numpy as np

            np.random.set_state(states["numpy"])  # noqa: NPY002 - the global generator is what there is to go on with
    except (TypeError, ValueError) as error:
        raise PlanError(f"a state that no generator takes: {error}", where=name) from None
    left = set_global_states(states["torch"]) if "torch" in states else []
    return [f"{name}: not set: {each}" for each in left]


KIND = Kind("rng", lambda name, part: name == "rng" and part is True, _read, _fill)
