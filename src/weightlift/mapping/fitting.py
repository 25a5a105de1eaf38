"""Weights that have to fit: a plan or equal names, and every problem at once with the lines that would settle it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..errors import PlanError, printable
from ..typed import Any
from ..values import replace
from .exact import Excused, exact_plan
from .plan import Plan
from .report import Report, report_of
from .resolve import Resolution, Schema


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


def fitted(
    weights: Mapping[str, Any],
    schema: Schema,
    ties: Sequence[tuple[str, ...]],
    *,
    plan: Plan | None = None,
    extra: Iterable[str] = (),
    missing: Excused = "error",
    unexpected: Excused = "error",
    mismatch: Excused = "error",
) -> tuple[Resolution, tuple[str, ...]]:
    """Return (what a plan makes of the weights, what was recognised). Reads headers only.

    Without a plan, equal names are joined. `extra` are names of the target that hold no plain tensor.

    Raises:
        LoadError: no plan, and anything missing, unexpected or of another shape.
        PlanProblems: the plan has problems.
    """
    if plan is not None:
        resolution = plan.check(weights, schema, ties)
        resolution.raise_problems()
        return resolution, ()
    excuses = {"missing": missing, "unexpected": unexpected, "mismatch": mismatch}
    exact = exact_plan(weights, schema, ties, extra=list(extra), **excuses)
    resolution = exact.plan.check(weights, schema, ties)
    if resolution.problems:
        problems = tuple(problem.message for problem in resolution.problems)
        report = report_of(resolution, weights, schema)
        raise LoadError(replace(report, notes=exact.notes, problems=problems), exact.suggestions)
    return resolution, exact.notes
