"""Proof of a plan by a forward pass: the same random weights, the same inputs, the same outputs.

Every tensor of the old model is made random first: freshly made models have norms that are all ones and zeros,
and hide which of them went where.
"""

from __future__ import annotations

from collections.abc import Collection

from ..errors import PlanError
from ..state_dict import StateDict
from ..tensors.torch_differences import says_something
from ..tensors.torch_forward import CannotRunError, Step, lent, randomise
from ..tensors.torch_modules import is_module
from ..typed import Any
from ..values import replace
from .descent import descended
from .divergence import filling, first_diverging, held_by
from .exchanges import Lefts, exchanges
from .plan import Plan
from .resolve import PlanProblems, Problem
from .rules import Rule
from .settle import settled
from .trial import Side, Trial
from .verification import Verification

MAX_TRIES = 5040
"""How many other meanings of `!unsure` rules are tried, unless told: the orders of seven."""


def verify(
    plan: Plan,
    old_model: Any,
    new_model: Any,
    inputs: Any,
    *,
    new_inputs: Any = None,
    seed: int = 0,
    max_tries: int = MAX_TRIES,
) -> Verification:
    """See `Plan.verify`."""
    for name, model in (("old_model", old_model), ("new_model", new_model)):
        if not is_module(model):
            raise PlanError(f"{name} is a {type(model).__name__}", expected="a torch module")
    checked = plan.check(StateDict.from_module(old_model), new_model)
    if problems := [problem for problem in checked.problems if not _is_allowed(problem, plan)]:
        raise PlanProblems(problems)
    # What the new model makes for itself is compared with what the old one made, such as masks and frequencies.
    keep = {name for name, _ in old_model.named_buffers() if name in checked.dropped}
    first: CannotRunError | None = None
    for wide in (True, False):
        old = Side(old_model, inputs, seed, wide, "old_model")
        new = Side(new_model, inputs if new_inputs is None else new_inputs, seed, wide, "new_model")
        try:
            return _verified(plan, old, new, keep, max_tries)
        except CannotRunError as error:
            if first is not None:
                error.remedy = f"nor in float64 ({first.found})" if first.found != error.found else error.remedy
                raise
            first = error
    raise AssertionError  # the second turn returns or raises


def _is_allowed(problem: Problem, plan: Plan) -> bool:
    """Lines that are not settled, and what is dropped and is in a file only."""
    dropping = {rule.line for rule in plan.rules if rule.kind == "drop"}
    return problem.code == "unsure" or (problem.code == "dead-rule" and problem.line in dropping)


def _verified(plan: Plan, old: Side, new: Side, keep: Collection[str], max_tries: int) -> Verification:
    with lent(old.model, wide=old.wide):
        randomise(old.model, old.seed, keep=keep)
        weights = StateDict.from_module(old.model)
        expected = old.run()
    if not any(map(says_something, expected.outputs.values())):
        raise PlanError("the old model's outputs have no finite floating value", expected="one to compare")
    with lent(new.model, wide=new.wide):
        trial = Trial(plan, new, weights, expected)
        apart = trial.apart(plan.rules)
        out = Verification(trial.proves(apart), apart, trial.tolerance, trial.dtype)
        if out.ok:
            return _settle(out, trial, {}, plan.rules)
        with lent(old.model, wide=old.wide):
            randomise(old.model, old.seed, keep=keep)
            steps = old.run(watch=True).steps
        return _searched(_located(out, trial, steps), trial, steps, max_tries)


def _located(out: Verification, trial: Trial, old_steps: list[Step]) -> Verification:
    """Add the first diverging module, and the rules that fill it and what was done before it."""
    new_steps = trial.side.run(watch=True).steps
    module = first_diverging(old_steps, new_steps, trial.tolerance)
    if module is None:
        return out
    done = [step.module for step in new_steps]
    before = set(done[: done.index(module)])
    held = held_by(done, trial.resolved(trial.plan.rules))
    inside = filling(module, held)
    upstream = set().union(*(lines for at, lines in held.items() if at in before)) - inside
    rules = {rule.line: rule for rule in trial.plan.rules}
    lines, more = (tuple(rules[line] for line in sorted(found)) for found in (inside, upstream))
    return replace(out, module=module, lines=lines, upstream=more)


def _searched(out: Verification, trial: Trial, old_steps: list[Step], max_tries: int) -> Verification:
    """Try the other meanings of the `!unsure` rules; the plan is settled where exactly one proves equal."""
    others = exchanges(trial.plan.rules, trial.resolved(trial.plan.rules), trial.weights)
    out = replace(out, possible=others.count)
    if others.count > max_tries:
        tried, proving = descended(trial, others, old_steps, max_tries)
    else:
        tried, proving = others.count, [lefts for lefts in others if trial.tries(lefts)]
    out = replace(out, tried=tried, proving=len(proving))
    if len(proving) != 1:
        return out
    rules = trial.meaning(proving[0])
    trial.apart(rules)
    return _settle(out, trial, proving[0], rules)


def _settle(out: Verification, trial: Trial, lefts: Lefts, rules: tuple[Rule, ...]) -> Verification:
    """Add the settled plan: of the `!unsure` lines, those whose every target the outputs depend on."""
    resolution = trial.resolved(rules)
    waiting = trial.open_targets(resolution)
    unseen = [key for key in waiting if not trial.sees(key, resolution)]
    lines = set().union(*waiting.values()) - set().union(*(waiting[key] for key in unseen))
    plan = Plan.parse(settled(trial.plan.text, trial.plan.rules, lefts, lines))
    return replace(out, settled=plan, exchanged=tuple(sorted(lefts)), unseen=tuple(unseen))
