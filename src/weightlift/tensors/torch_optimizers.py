"""A live torch optimizer as a target: what it has, and loading a whole state into it, all or nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

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


def load_optimizer(optimizer: Any, state: Mapping[int, dict[str, Any]], groups: list[dict[str, Any]]) -> None:
    """Hand a whole state dict to an optimizer. After any error its state and groups are exactly what they were.

    `load_state_dict` makes new groups and new states and leaves the old ones as they are, so keeping hold of
    those is enough to put them back.
    """
    old_state, old_groups = optimizer.state, optimizer.param_groups
    old_defaults = dict(optimizer.defaults)
    try:
        optimizer.load_state_dict({"state": dict(state), "param_groups": groups})
    except BaseException as error:
        optimizer.state, optimizer.param_groups = old_state, old_groups
        optimizer.defaults = old_defaults
        if isinstance(error, Exception):
            raise PlanError(
                f"the optimizer does not take the state: {error}", expected="one of the saved kind"
            ) from error
        raise
