"""`plan`: rules held against a source and a target, from headers alone."""

from __future__ import annotations

import os

from ..limits import DEFAULT_LIMITS, Limits
from ..mapping.exact import exact_plan
from ..mapping.plan import Plan
from ..mapping.report import Report, report_of
from ..typed import Any
from ..values import dataclass, replace
from .open import open_checkpoint
from .targets import aim_at


@dataclass(frozen=True, slots=True)
class Checked:
    """A plan, what it does to every tensor, and lines that would settle what is open."""

    plan: Plan
    report: Report
    suggestions: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the plan can be carried out."""
        return not self.report.problems


def check_plan(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | Any,
    rules: Plan | str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Checked:
    """Return a plan with what it does; without rules, the plan of equal names. Reads no tensor.

    `target` is a checkpoint's path, a live module, or `package.module:factory` (which runs that code).
    """
    weights = open_checkpoint(source, limits=limits).state_dict(name)
    aim = aim_at(target, limits=limits)
    suggestions: tuple[str, ...] = ()
    notes: tuple[str, ...] = (f"the target is {aim.told}",)
    if rules is None:
        exact = exact_plan(weights, aim.schema, aim.ties, extra=aim.extra)
        plan, suggestions, notes = exact.plan, exact.suggestions, (*notes, *exact.notes)
    else:
        plan = rules if isinstance(rules, Plan) else Plan.load(rules)
    resolution = plan.check(weights, aim.schema, aim.ties)
    report = replace(report_of(resolution, weights, aim.schema), notes=notes)
    return Checked(plan, report, suggestions if resolution.problems else ())


def inverted_plan(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | Any,
    rules: str | os.PathLike[str],
    *,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Plan:
    """Return the plan that goes back from the target to the source.

    Raises:
        PlanProblems: the exact list of what has no inverse.
    """
    weights = open_checkpoint(source, limits=limits).state_dict(name)
    return Plan.load(rules).invert(weights, aim_at(target, limits=limits).schema)
