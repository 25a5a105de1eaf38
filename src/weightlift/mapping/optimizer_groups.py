"""The options of a live optimizer's groups, from the saved groups that its parameters come from."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import PlanError
from ..tensors import Tensor
from ..tensors.values_as_torch import values_to_torch
from ..typed import Any
from .optimizer_names import Saved

HOW = ("foreach", "fused", "capturable", "differentiable")
"""How an optimizer computes, not what: it depends on the machine, so the live optimizer's own stay."""
_BESIDE = ("initial_lr",)
"""Options that schedulers add to a group."""


def group_options(
    live: Mapping[str, Any], where: str, saved: Saved, origins: Mapping[str, set[int]]
) -> tuple[dict[str, Any], list[str]]:
    """Return (options of one live group, notes). `origins` is live parameter -> the saved groups it comes from.

    Raises:
        PlanError: it comes from groups whose options differ.
    """
    own = {key: value for key, value in live.items() if key not in ("params", "param_names")}
    groups = sorted(set().union(*origins.values()))
    if not groups:
        return own, [f"{where} of the optimizer keeps its options: nothing in it comes from the saved one"]
    taken = {
        key: value
        for key, value in saved.groups[groups[0]].options.items()
        if (key in own or key in _BESIDE) and key not in HOW
    }
    wrong = [key for key in taken if any(_plain_at(saved, g, key) != _plain_at(saved, groups[0], key) for g in groups)]
    if wrong:
        raise PlanError(
            _conflict(where, wrong, groups, saved, origins), remedy='options="live" keeps the optimizer\'s own'
        )
    left = [key for key in saved.groups[groups[0]].options if key not in taken and key not in HOW]
    notes = [f"{where} has no option {key}, which the saved one has" for key in left]
    return {**own, **values_to_torch(taken)}, notes


def _conflict(where: str, wrong: list[str], groups: list[int], saved: Saved, origins: Mapping[str, set[int]]) -> str:
    told = "; ".join(f"{key} is {', '.join(repr(_plain_at(saved, g, key)) for g in groups)}" for key in wrong)
    examples = []
    for g in groups:
        names = [name for name, found in origins.items() if g in found]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        examples.append(f"saved group {g}: {', '.join(map(repr, names[:2]))}{more}")
    return f"{where} takes parameters of groups with other options: {told} ({'; '.join(examples)})"


def _plain_at(saved: Saved, group: int, key: str) -> Any:
    value = saved.groups[group].options.get(key)
    if isinstance(value, Tensor):
        return value.numpy().tolist()
    return list(value) if isinstance(value, tuple) else value
