"""`load`: the weights of a checkpoint into a live model, or an error that says everything that does not fit."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..limits import DEFAULT_LIMITS, Limits
from ..mapping.apply import apply_to_module
from ..mapping.exact import Excused
from ..mapping.fitting import fitted
from ..mapping.plan import Plan
from ..mapping.report import Report
from ..tensors.torch_modules import ModuleTarget
from ..typed import Any
from ..values import replace
from .weights import state_dict_of


def load(  # noqa: PLR0913 - each is one decision of the caller
    model: Any,
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    plan: Plan | str | os.PathLike[str] | None = None,
    name: str | None = None,
    missing: Excused = "error",
    unexpected: Excused = "error",
    mismatch: Excused = "error",
    assign: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Report:
    """Set the weights of a checkpoint (or a state dict, or another model) down in a model; all of them or nothing.

    Without a plan, equal names are joined; a wrapper's prefix is recognised and said. `missing`,
    `unexpected` and `mismatch` are "error", or patterns of names that are excused. With `assign` the model's
    tensors are replaced by tensors in the mapped file, which has to stay as it is; optimizers that still hold
    the old ones are told of in the report.

    Raises:
        LoadError: anything missing, unexpected or of another shape.
        PlanProblems: the plan has problems.
    """
    weights = state_dict_of(source, name, limits)
    target = ModuleTarget(model)
    chosen = Plan.load(plan) if isinstance(plan, str | os.PathLike) else plan
    excuses = {"missing": missing, "unexpected": unexpected, "mismatch": mismatch}
    resolution, notes = fitted(weights, target.schema, target.ties, plan=chosen, extra=target.extra, **excuses)
    report = apply_to_module(resolution, target, weights, assign=assign)
    return replace(report, notes=(*notes, *report.notes))
