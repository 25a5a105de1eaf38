"""`plan`: rules held against a source and a target, from headers alone."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import PlanError
from ..limits import DEFAULT_LIMITS, Limits
from ..mapping.exact import exact_plan
from ..mapping.infer.infer import inferred_plan, plan_by_values
from ..mapping.infer.runners_up import runners_up
from ..mapping.plan import Plan
from ..mapping.report import Line, Report, report_of
from ..mapping.resolve import Schema
from ..mapping.rules import Rule
from ..mapping.schema import headers
from ..state_dict import StateDict
from ..typed import Any, Literal
from ..values import dataclass, replace
from .open import open_checkpoint
from .targets import Aim, aim_at
from .weights import state_dict_of

By = Literal["names", "values"]


@dataclass(frozen=True, slots=True)
class Explained:
    """What becomes of one tensor, the rule that says so, if any does, and other sources that would fit as well."""

    line: Line
    rule: Rule | None
    runners_up: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A plan, what it does to every tensor, and the headers of both sides."""

    plan: Plan
    report: Report
    source: Schema
    target: Schema

    @property
    def is_complete(self) -> bool:
        """Whether the plan can be carried out."""
        return not self.report.problems

    def explain(self, key: str) -> list[Explained]:
        """Return what becomes of one source or target name, and what else could.

        Raises:
            PlanError: neither side has such a name.
        """
        rules = {rule.line: rule for rule in self.plan.rules}
        found = [
            Explained(line, rules.get(line.rule_line), self._runners_up(line))
            for line in self.report.lines
            if key in (line.key, *line.sources)
        ]
        if not found:
            from difflib import get_close_matches

            near = get_close_matches(key, [line.key for line in self.report.lines][:5000], n=2, cutoff=0.6)
            remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise PlanError(f"{key!r} is on neither side", remedy=remedy)
        return found

    def _runners_up(self, line: Line) -> tuple[str, ...]:
        return runners_up(line.key, line.sources, self.source, self.target) if line.side == "target" else ()


def check_plan(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | Any,
    rules: Plan | str | os.PathLike[str] | None = None,
    *,
    by: By = "names",
    name: str | None = None,
    target_name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Checked:
    """Return a plan with what it does; without rules, the plan that is found (see `plan`).

    `target` is a checkpoint's path, a live module, or `package.module:factory` (which runs that code).
    `name` and `target_name` choose a state dict where the checkpoint of a side holds several.
    """
    weights = open_checkpoint(source, limits=limits).state_dict(name)
    aim = aim_at(target, name=target_name, limits=limits)
    notes: tuple[str, ...] = (f"the target is {aim.told}",)
    if rules is None and by == "values":
        chosen = _by_values(weights, state_dict_of(target, target_name, limits))
    elif rules is None:
        chosen, found = _found(weights, aim)
        notes = (*notes, *found)
    else:
        chosen = rules if isinstance(rules, Plan) else Plan.load(rules)
    resolution = chosen.check(weights, aim.schema, aim.ties)
    report = replace(report_of(resolution, weights, aim.schema), notes=notes)
    return Checked(chosen, report, headers(weights), aim.schema)


def plan(
    source: str | os.PathLike[str] | Mapping[str, Any],
    target: str | os.PathLike[str] | Mapping[str, Any] | Any,
    *,
    by: By = "names",
    name: str | None = None,
    target_name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Plan:
    """Return the plan that brings one state dict into another model: where every weight goes.

    Both sides are a checkpoint's path, a state dict or a live module; `name` and `target_name` choose a state dict
    where a checkpoint holds several. Each line says on what evidence it rests; what is not sure is marked
    `!unsure`, and such a plan is not carried out before it is settled. By names (and shapes) no tensor is read. By
    values, the target is the source after a conversion, and the plan is how that was done.
    """
    if by == "values":
        return _by_values(state_dict_of(source, name, limits), state_dict_of(target, target_name, limits))
    if by != "names":
        raise PlanError(f"by={by!r}", expected='"names" or "values"')
    return _found(state_dict_of(source, name, limits), aim_at(target, name=target_name, limits=limits))[0]


def _by_values(weights: StateDict, example: StateDict) -> Plan:
    return plan_by_values(weights, example, source_ties=weights.ties, target_ties=example.ties)


def _found(weights: StateDict, aim: Aim) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan of equal names where they say everything, else the one that is found; and what to know of it."""
    exact = exact_plan(weights, aim.schema, aim.ties, extra=aim.extra)
    if not exact.plan.check(weights, aim.schema, aim.ties).problems:
        return exact.plan, exact.notes
    schema = headers(weights)
    extra = [key for key in weights if key not in schema]
    return inferred_plan(schema, aim.schema, source_ties=weights.ties, target_ties=aim.ties, extra=extra), ()


def inverted_plan(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | Any,
    rules: str | os.PathLike[str],
    *,
    name: str | None = None,
    target_name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Plan:
    """Return the plan that goes back from the target to the source.

    Raises:
        PlanProblems: the exact list of what has no inverse.
    """
    weights = open_checkpoint(source, limits=limits).state_dict(name)
    aim = aim_at(target, name=target_name, limits=limits)
    return Plan.load(rules).invert(weights, aim.schema, aim.ties)
