"""A live torch optimizer as a target: what it has, and loading a whole state into it, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy

from ..errors import PlanError
from ..typed import Any
from .computed import Lazy
from .torch_modules import as_torch_value

Spans = tuple[tuple[int | None, int | None], ...]


def is_optimizer(value: Any) -> bool:
    """Whether a value is a live torch optimizer, without importing torch where it is none."""
    return any(cls.__module__ == "torch.optim.optimizer" and cls.__name__ == "Optimizer" for cls in type(value).__mro__)


def kind_of(optimizer: Any, known: Collection[str]) -> str:
    """Return the class of torch.optim that an optimizer is or derives from, "" where it is of another kind."""
    for cls in type(optimizer).__mro__:
        if cls.__module__.startswith("torch.optim.") and cls.__name__ in known:
            return str(cls.__name__)
    return ""


def placed(parts: Sequence[tuple[Lazy, Spans]], parameter: Any) -> Any:
    """Return a new tensor laid out like a parameter, on its device; outside the parts it is zero.

    The memory is nobody else's: an optimizer changes its state in place.
    """
    import torch

    made = [(as_torch_value(value), spans) for value, spans in parts]
    whole = torch.zeros_like(parameter, dtype=made[0][0].dtype, requires_grad=False)
    for value, spans in made:
        whole[tuple(slice(start, stop) for start, stop in spans)] = value.to(whole.device)
    return whole


def fresh_state(kind: str, parameter: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a parameter before its first step: nothing, but for Adagrad.

    Adagrad makes its state when it is built, and does not at a step.
    """
    if kind != "Adagrad":
        return {}
    import torch

    start = options.get("initial_accumulator_value", 0)
    return {"step": torch.tensor(0.0), "sum": torch.full_like(parameter, start, requires_grad=False)}


def has_groups(value: Any) -> bool:
    """Whether a value is an optimizer, or speaks like one: groups of parameters, and a state dict."""
    if isinstance(value, type) or not hasattr(value, "param_groups"):
        return False
    return hasattr(value, "state_dict") and hasattr(value, "load_state_dict")


def undo_of(optimizer: Any) -> Callable[[], object]:
    """Return what puts back the state and groups that an optimizer has now, however it is loaded in between.

    A torch optimizer's `load_state_dict` makes new groups and new states and leaves the old ones as they are, so
    keeping hold of those is enough. Of any other kind a copy of the state dict is kept.
    """
    if not is_optimizer(optimizer):
        before = deepcopy(optimizer.state_dict())
        return lambda: optimizer.load_state_dict(before)
    state, groups, defaults = optimizer.state, optimizer.param_groups, dict(optimizer.defaults)

    def undo() -> None:
        optimizer.state, optimizer.param_groups, optimizer.defaults = state, groups, defaults

    return undo


def load_optimizer(
    optimizer: Any, state: Mapping[Any, Any], groups: list[dict[str, Any]], rest: Mapping[str, Any] | None = None
) -> None:
    """Hand a whole state dict to an optimizer; `rest` is what it has beside state and groups.

    After any error its state and groups are exactly what they were. Element types stay those of the state:
    `load_state_dict` alone would turn wider moments into the type of their parameter.
    """
    undo = undo_of(optimizer)
    try:
        optimizer.load_state_dict({"state": dict(state), "param_groups": groups, **(rest or {})})
        _keep_types(optimizer, state, groups)
    except BaseException as error:
        undo()
        if isinstance(error, Exception):
            raise PlanError(
                f"the optimizer does not take the state: {error}", expected="one of the saved kind"
            ) from error
        raise


def _keep_types(optimizer: Any, state: Mapping[Any, Any], groups: list[dict[str, Any]]) -> None:
    """Put back the tensors whose element type has changed on the way, and texts, which are taken apart there."""
    for group, live in zip(groups, optimizer.param_groups, strict=True):
        for i, parameter in zip(group["params"], live["params"], strict=True):
            held = getattr(optimizer, "state", {}).get(parameter, {})
            for key, value in state.get(i, {}).items():
                taken = held.get(key)
                if isinstance(value, str | bytes):
                    held[key] = value
                elif hasattr(value, "dtype") and hasattr(taken, "dtype") and taken.dtype != value.dtype:
                    held[key] = value.to(taken.device)
