"""`load`: the weights of a checkpoint into a live model, or an error that says everything that does not fit."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import PlanError, printable
from ..limits import DEFAULT_LIMITS, Limits
from ..mapping.apply import apply_to_module
from ..mapping.exact import Excused, exact_plan
from ..mapping.plan import Plan
from ..mapping.report import Report, report_of
from ..tensors.torch_modules import ModuleTarget
from ..typed import Any
from ..values import replace
from .weights import state_dict_of


class LoadError(PlanError):
    """A checkpoint that does not fit a model; the message is the report and the rule lines that would settle it."""

    def __init__(self, report: Report, suggestions: tuple[str, ...]) -> None:
        super().__init__("the checkpoint does not fit the model; nothing was loaded")
        self.report = report
        self.suggestions = suggestions

    def __str__(self) -> str:
        lines = [super().__str__(), *map(printable, str(self.report).splitlines())]
        if self.suggestions:
            lines.append("rule lines that would settle it, to be judged and put into a plan:")
            lines += [f"  {printable(line)}" for line in self.suggestions]
        return "\n".join(lines)


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
    if plan is not None:
        given = plan if isinstance(plan, Plan) else Plan.load(plan)
        resolution = given.check(weights, target.schema, target.ties)
        return apply_to_module(resolution, target, weights, assign=assign)
    excuses = {"missing": missing, "unexpected": unexpected, "mismatch": mismatch}
    exact = exact_plan(weights, target.schema, target.ties, extra=target.extra, **excuses)
    resolution = exact.plan.check(weights, target.schema, target.ties)
    if resolution.problems:
        problems = tuple(problem.message for problem in resolution.problems)
        report = report_of(resolution, weights, target.schema)
        raise LoadError(replace(report, notes=exact.notes, problems=problems), exact.suggestions)
    report = apply_to_module(resolution, target, weights, assign=assign)
    return replace(report, notes=(*exact.notes, *report.notes))
