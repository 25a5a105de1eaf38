"""An optimizer whose model changed: its moments follow the plan that moves the weights."""

from __future__ import annotations

from collections.abc import Mapping

from ...codec import decode
from ...mapping.optimizer_state import apply_optimizer
from ...tensors.torch_optimizers import undo_of
from ...typed import Any
from .base import Change, Filling


def fill_moved(document: Mapping[str, Any], part: Any, name: str, module: str, filling: Filling) -> None:
    """Enter the change that lets an optimizer's state follow the plan of the module that it trains."""
    begin = f"{module}/"
    names = [each for group in document["groups"] for each in group["params"]]
    number = {each: i for i, each in enumerate(names)}
    groups = [
        {
            **decode(group["options"], filling.lazy, types=filling.types),
            "params": [number[each] for each in group["params"]],
        }
        for group in document["groups"]
    ]
    state = {
        number[each]: decode(saved, filling.lazy, types=filling.types) for each, saved in document["state"].items()
    }
    weights = filling.under(module)

    def commit() -> None:
        report = apply_optimizer(
            filling.plans[module].rules,
            part,
            {"state": state, "param_groups": groups},
            model=filling.modules[module],
            weights=weights,
            names=[each.removeprefix(begin) for each in names],
        )
        filling.notes.extend(f"{name}: {note}" for note in report.notes if note)

    filling.changes.append(Change(commit, undo_of(part)))
