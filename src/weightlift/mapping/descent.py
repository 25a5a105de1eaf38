"""The search among too many meanings: module after module, each time exchanging what fills the first that diverges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from ..tensors.torch_forward import Step
from .divergence import filling, first_diverging, held_by
from .exchanges import Exchanges, Lefts
from .trial import Trial


def descended(trial: Trial, others: Exchanges, old: Sequence[Step], max_tries: int) -> tuple[int, list[Lefts]]:
    """Return how many meanings were tried, and those that prove equal: none, one, or two if it is not the only one.

    An exchange is of all that two modules have, weight with weight and bias with bias. It is kept where the first
    diverging module lies later. Whether what is found is the only one is tried with each single exchange from there.
    """
    run = _Descent(trial, others, old, max_tries)
    found = run.found()
    if found is None:
        return run.tried, []
    for other in run.exchanged(found, None):
        if run.tried >= max_tries:
            return run.tried, []  # nobody knows whether it is the only one
        run.tried += 1
        if trial.tries(other):
            return run.tried, [found, other]
    return run.tried, [found]


class _Descent:
    def __init__(self, trial: Trial, others: Exchanges, old: Sequence[Step], max_tries: int) -> None:
        self.trial = trial
        self.old = old
        self.max_tries = max_tries
        self.tried = 0
        self.families = {rule.line: i for i, family in enumerate(others.families) for rule in family}
        self.sides = {rule.line: rule.sides[0] for rule in chain(*others.families)}

    def found(self) -> Lefts | None:
        """A meaning that proves equal, or None."""
        lefts: Lefts = {}
        self.trial.tries(lefts)
        place, lines = self._place(lefts)
        while True:
            for other in self.exchanged(lefts, lines):
                if self.tried >= self.max_tries:
                    return None
                self.tried += 1
                if self.trial.tries(other):
                    return other
                if not self._fits(other):
                    continue
                now = self._place(other)
                if now[0] > place:
                    lefts, (place, lines) = other, now
                    break
            else:
                return None

    def _fits(self, lefts: Lefts) -> bool:
        return not self.trial.resolved(self.trial.meaning(lefts)).problems

    def _place(self, lefts: Lefts) -> tuple[int, set[int]]:
        """How far the model as it is filled agrees, and the lines that fill the module where it does not."""
        steps = self.trial.side.run(watch=True).steps
        module = first_diverging(self.old, steps, self.trial.tolerance)
        if module is None:
            return len(steps), set()
        done = [step.module for step in steps]
        held = held_by(done, self.trial.resolved(self.trial.meaning(lefts)))
        return done.index(module), filling(module, held)

    def exchanged(self, lefts: Lefts, lines: set[int] | None) -> Iterator[Lefts]:
        """Every exchange of two modules; with `lines`, those in which these take part."""
        now = self.sides | lefts
        owners: dict[str, dict[tuple[str, int], int]] = {}
        for line, side in now.items():
            owner, _, leaf = side.rpartition(".")
            owners.setdefault(owner, {})[leaf, self.families[line]] = line
        names = list(owners)
        for i, one in enumerate(names):
            for two in names[i + 1 :]:
                touched = {*owners[one].values(), *owners[two].values()}
                if owners[one].keys() != owners[two].keys() or (lines is not None and not touched & lines):
                    continue
                pairs = [(owners[one][leaf], owners[two][leaf]) for leaf in owners[one]]
                other = now | {line: now[by] for a, b in pairs for line, by in ((a, b), (b, a))}
                yield {line: side for line, side in other.items() if side != self.sides[line]}
