"""Anything with `state_dict` and `load_state_dict`: schedulers, scalers, averages, loaders that know their position."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from ...errors import PlanError, UnsupportedError
from ...typed import Any
from .base import Change, Filling, Kind, Reading, class_name


def _recognises(name: str, part: Any) -> bool:
    if isinstance(part, type):
        return False
    if hasattr(part, "state_dict") and hasattr(part, "load_state_dict"):
        return True
    if any(
        cls.__module__ == "torch.utils.data.dataloader" and cls.__name__ == "DataLoader" for cls in type(part).__mro__
    ):
        raise UnsupportedError(
            "a DataLoader, which does not know its position",
            remedy="give a loader with state_dict(), such as torchdata's StatefulDataLoader",
            where=name,
        )
    return False


def _read(part: Any, name: str, reading: Reading) -> dict[str, Any]:
    return {"class": class_name(part), "state": reading.encoder.encode(part.state_dict(), name)}


def _fill(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> Any:
    if not hasattr(part, "load_state_dict") or isinstance(part, type):
        told = document.get("class") or "what has load_state_dict()"
        raise PlanError(f"a {type(part).__name__}", expected=f"a live {told}, as was saved", where=name)
    if document.get("class") not in (None, class_name(part)):  # a converted bundle does not say
        filling.notes.append(f"{name}: saved from a {document.get('class')}, and goes into a {class_name(part)}")
    state = filling.value(document.get("state"), name)
    before = deepcopy(part.state_dict())

    def commit() -> None:
        try:
            part.load_state_dict(state)
        except Exception as error:
            raise PlanError(
                f"it does not take the state: {error}", expected="one of the saved kind", where=name
            ) from error

    filling.changes.append(Change(commit, lambda: part.load_state_dict(before)))
    return part


KIND = Kind("stateful", _recognises, _read, _fill)
