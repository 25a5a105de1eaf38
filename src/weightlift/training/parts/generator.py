"""Random generators that are objects of their own: `random.Random`, `numpy.random.Generator`, `torch.Generator`."""

from __future__ import annotations

import random
from collections.abc import Mapping

from ...errors import PlanError
from ...tensors.torch_random import is_generator
from ...typed import Any
from .base import Change, Filling, Kind, Reading, class_name


def _recognises(name: str, part: Any) -> bool:
    del name
    return is_generator(part) or isinstance(part, random.Random) or _is_numpy(part)


def _is_numpy(part: Any) -> bool:
    kind = type(part)
    return kind.__module__.startswith("numpy.random") and kind.__name__ in ("Generator", "RandomState")


def _state(part: Any) -> Any:
    if isinstance(part, random.Random):
        return part.getstate()
    if hasattr(part, "bit_generator"):
        return part.bit_generator.state
    return part.get_state()


def _set(part: Any, state: Any, name: str) -> None:
    try:
        if isinstance(part, random.Random):
            part.setstate(state)
        elif hasattr(part, "bit_generator"):
            part.bit_generator.state = state
        else:
            part.set_state(state)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise PlanError(f"the generator does not take the state: {error}", where=name) from None


def _read(part: Any, name: str, reading: Reading) -> dict[str, Any]:
    return {"class": class_name(part), "state": reading.encoder.encode(_state(part), name)}


def _fill(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> Any:
    if document.get("class") != class_name(part):
        raise PlanError(
            f"a {class_name(part)}", expected=f"the saved kind of generator, {document.get('class')}", where=name
        )
    state, before = filling.value(document.get("state"), name), _state(part)
    filling.changes.append(Change(lambda: _set(part, state, name), lambda: _set(part, before, name)))
    return part


KIND = Kind("generator", _recognises, _read, _fill)
