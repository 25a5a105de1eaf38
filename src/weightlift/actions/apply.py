"""`apply`: a plan carried out from a checkpoint into a safetensors file, streamed."""

from __future__ import annotations

import os

from ..limits import DEFAULT_LIMITS, Limits
from ..mapping.apply import apply_to_file
from ..mapping.plan import Plan
from ..mapping.report import Report, report_of
from ..values import dataclass, replace
from ..writers import Written
from ..writers.safetensors import Progress
from .open import errors_name, open_checkpoint, refuse_itself


@dataclass(frozen=True, slots=True)
class Applied:
    """What was written, and what became of every tensor."""

    written: Written
    report: Report


def apply_plan(
    source: str | os.PathLike[str],
    plan: Plan | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    max_shard_bytes: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Applied:
    """Write what a plan makes of a checkpoint; nothing is left behind after an error.

    Raises:
        PlanProblems: every problem that the headers show, before anything is read.
        WriteError: `out` cannot be written, or is the checkpoint itself.
    """
    refuse_itself(source, out)
    given = plan if isinstance(plan, Plan) else Plan.load(plan)
    with errors_name(source):
        weights = open_checkpoint(source, limits=limits).state_dict(name)
        resolution = given.check(weights)
        written = apply_to_file(resolution, out, max_shard_bytes, progress)
    report = report_of(resolution, weights, None)
    left = [
        f"line {rule.line} is left to a model, no file has it: {' '.join(str(rule).split())}"
        for rule in given.rules
        if rule.kind == "init"
    ]
    return Applied(written, replace(report, notes=(*report.notes, *left)))
