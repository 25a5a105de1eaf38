"""The plan that undoes a plan, or the exact list of what has no inverse."""

from __future__ import annotations

from collections.abc import Iterable

from .document import turned_round
from .ops import OPS, Call
from .resolve import PlanProblems, Problem, Resolution, Trace
from .rules import Rule, without_comment


def inverted(text: str, rules: Iterable[Rule], resolution: Resolution) -> str:
    """Return the text of the inverse; comments and order stay, every rule line is turned round.

    Raises:
        PlanProblems: the plan has problems, or operations that lose something.
    """
    resolution.raise_problems()
    blocked: list[Problem] = []
    waiting = iter(rules)

    def turned(line: str) -> str:
        bare = without_comment(line)
        if not bare.strip():
            return line
        rule = next(waiting)
        try:
            return _turned(rule, resolution.traces.get(rule.line, [])) + line[len(bare) :]
        except _NoInverseError as error:
            blocked.append(Problem("no-inverse", rule.line, f"{rule}: {error}"))
            return line

    back = turned_round(text, turned)
    if blocked:
        raise PlanProblems(blocked)
    return back


class _NoInverseError(Exception):
    """Why a rule cannot be turned round."""


def _turned(rule: Rule, traces: list[Trace]) -> str:
    left, right = rule.sides
    if rule.kind == "drop":
        return f'init -> {left} "{rule.reason}"'
    if rule.kind == "init":
        return f'{right} -> drop "{rule.reason}"'
    if rule.kind == "tie":
        told = left.replace('"', "%22")  # the escape of backticks: a quote would end the reason
        return f'{right} -> drop "tied to {told}"'
    if any(term.spans for term in (*rule.sources, *rule.targets)):
        raise _NoInverseError("it takes a part of a tensor only")
    if rule.excepts:
        raise _NoInverseError("`except` says nothing about the names of the target")
    calls = _undoing(traces)
    ops = f" : {' | '.join(map(str, calls))}" if calls else ""
    # what undoes a pad takes its zeros away, and what undoes a cast narrows values that came from there
    lossy = "  !lossy" if any(call.name in ("slice", "cast") for call in calls) else ""
    return f"{right} -> {left}{ops}{lossy}{' optional' if rule.optional else ''}"


def _undoing(traces: list[Trace]) -> list[Call]:
    """The calls that undo the rule's, last first; they have to be the same for all its tensors."""
    found: set[tuple[str, ...]] = set()
    calls: list[Call] = []
    for trace in traces:
        calls = []
        for call, before, after in reversed(trace):
            undo = OPS[call.name].invert(call, before, after)
            if undo is None:
                raise _NoInverseError(f"{call} has no inverse")
            calls += undo
        found.add(tuple(map(str, calls)))
    if len(found) > 1:
        raise _NoInverseError(
            f"its tensors differ in what undoes it: {' / '.join(' | '.join(c) for c in sorted(found))}"
        )
    return calls
