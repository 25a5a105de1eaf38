"""A new model that is filled by one meaning of a plan's rules after the other, and run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import PlanError
from ..state_dict import StateDict
from ..tensors.torch_differences import difference, epsilon
from ..tensors.torch_forward import CannotRunError, Forward, disturb, forward
from ..tensors.torch_modules import ModuleTarget
from ..typed import Any
from ..values import dataclass, replace
from .apply import apply_to_module
from .exchanges import Lefts
from .plan import Plan
from .resolve import Made, Resolution, resolve
from .rules import Rule
from .settle import reworded


@dataclass(frozen=True, slots=True)
class Side:
    """A model, and what it is given."""

    model: Any
    inputs: Any
    seed: int
    wide: bool
    name: str

    def run(self, *, watch: bool = False) -> Forward:
        """Return the outputs of the lent model."""
        try:
            return forward(self.model, self.inputs, wide=self.wide, seed=self.seed, watch=watch)
        except CannotRunError as error:
            error.at(self.name)
            raise


class Trial:
    """A lent new model that is filled by one meaning of the rules after the other."""

    def __init__(self, plan: Plan, side: Side, weights: StateDict, expected: Forward) -> None:
        self.plan = plan
        self.side = side
        self.weights = weights
        self.expected = expected
        self.target = ModuleTarget(side.model)
        self.filled: dict[str, Made] = {}  # kept, since what is computed is told apart by its identity
        self.eps, self.dtype = expected.eps, expected.dtype

    @property
    def tolerance(self) -> float:
        """Half the digits of the coarsest type: orders of summation differ by far less, wrong weights by far more."""
        return float(self.eps**0.5)

    def proves(self, apart: float) -> bool:
        """Whether outputs that are so far apart are equal."""
        return apart <= self.tolerance

    def meaning(self, lefts: Lefts) -> tuple[Rule, ...]:
        """The rules with these source sides."""
        dims = self.plan.dims
        return tuple(reworded(rule, lefts[rule.line], dims) if rule.line in lefts else rule for rule in self.plan.rules)

    def resolved(self, rules: Iterable[Rule]) -> Resolution:
        """What the rules make, `!unsure` ones as if they were settled.

        A live model has not everything that a file has had, such as the masks of older versions: what is dropped
        need not be there.
        """
        bold = [
            replace(rule, flags=rule.flags - {"unsure"}, optional=rule.optional or rule.kind == "drop")
            for rule in rules
        ]
        return resolve(bold, self.weights, self.target.schema, self.target.ties)

    def fill(self, resolution: Resolution) -> None:
        """Set down what differs from what is there."""
        resolution.raise_problems()
        changed = {key: made for key, made in resolution.made.items() if not _is_same(self.filled.get(key), made)}
        for made in resolution.made.values():
            self._coarsen(made.cast_from)
        apply_to_module(replace(resolution, made=changed), self.target, self.weights)
        self.filled = dict(resolution.made)

    def _coarsen(self, dtype: str, eps: float = 0.0) -> None:
        eps = eps or (epsilon(dtype) if dtype else 0.0)
        if eps > self.eps:
            self.eps, self.dtype = eps, dtype

    def apart(self, rules: Iterable[Rule]) -> float:
        """How far the outputs are apart under these rules."""
        self.fill(self.resolved(rules))
        return self.run()

    def run(self) -> float:
        """How far the outputs are apart as the model is filled now."""
        found = self.side.run()
        self._coarsen(found.dtype, found.eps)
        return _apart(self.expected.outputs, found.outputs)

    def tries(self, lefts: Lefts) -> bool:
        """Whether a meaning fits and gives equal outputs; where it fits, the model is left filled by it."""
        resolution = self.resolved(self.meaning(lefts))
        if resolution.problems:
            return False
        self.fill(resolution)
        return self.proves(self.run())

    def open_targets(self, resolution: Resolution) -> dict[str, set[int]]:
        """Floating targets of `!unsure` rules, with the lines of these."""
        unsure = {rule.line for rule in self.plan.rules if "unsure" in rule.flags}
        out = {}
        for key, made in resolution.made.items():
            lines = unsure & {piece.rule.line for piece in made.pieces}
            if lines and epsilon(self.target.slots[key].dtype.name):
                out[key] = lines
        return out

    def sees(self, key: str, resolution: Resolution) -> bool:
        """Whether the outputs depend on a target: other values there give other outputs."""
        slots = self.target.slots
        disturb(slots[key].tensor, self.side.seed + 1)
        apart = self.run()
        for other, slot in slots.items():
            if slot.view == slots[key].view:
                self.filled.pop(other, None)
        self.fill(resolution)
        return not self.proves(apart)


def _is_same(filled: Made | None, made: Made) -> bool:
    return filled is not None and [p.value.view for p in filled.pieces] == [p.value.view for p in made.pieces]


def _apart(expected: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """The largest difference: by the places in the outputs where both have the same, else in their order."""
    if len(expected) != len(found):
        told = f"{len(expected)} tensors in the old model's output, {len(found)} in the new one's"
        raise PlanError(told, remedy="give inputs as callables that take the model and return what to compare")
    same = expected.keys() == found.keys()
    others = [found[path] for path in expected] if same else found.values()
    return max(difference(one, other) for one, other in zip(expected.values(), others, strict=True))
