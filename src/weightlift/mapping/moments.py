"""What optimizers keep beside a parameter, and how each of it follows the operations of a rule.

Let a rule make a new weight w' = s w + a of an old one, with the same loss. Then by the chain rule the
gradient is g' = dL/dw' = g / s; what is added to a weight does not show in its gradient. So whatever is
proportional to the n-th power of gradients is multiplied by s^-n:

- averages of gradients (n = 1) by 1/s, of their squares (n = 2) by 1/s^2;
- what is measured in weights has n = -1, and in squared weights n = -2: Rprop's step sizes by |s|,
  Adadelta's average of squared updates by s^2 (its updates D = sqrt(acc_delta) / sqrt(square_avg) * g
  then become s D, as they should);
- what keeps the gradient's sign changes its sign with s; magnitudes do not;
- RMSprop's momentum is of gradients divided by their own size: n = 0, only the sign is left;
- ASGD's `ax` is an average of the weights themselves: it takes every operation that they take.

Moving elements about (transposes, cat, slices ...) moves what belongs to them in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from ..errors import PlanError
from ..tensors import Tensor
from ..typed import Any, Literal
from ..values import dataclass, replace
from .ops import OPS, Call
from .rules import Rule


@dataclass(frozen=True, slots=True)
class Field:
    """An optimizer's field with one value for each element of the parameter.

    `power` is that of the gradients in it, None where it is not known. `from_zero` says whether it is
    zero before the first step, so that new elements can be.
    """

    power: int | None
    signed: bool = False
    from_zero: bool = True
    is_weight: bool = False


UNKNOWN = Field(None, from_zero=False)
FIELDS: dict[str, Field] = {
    "exp_avg": Field(1, signed=True),
    "momentum_buffer": Field(1, signed=True),
    "grad_avg": Field(1, signed=True),
    "prev": Field(1, signed=True),
    "exp_inf": Field(1),
    "exp_avg_sq": Field(2),
    "max_exp_avg_sq": Field(2),
    "square_avg": Field(2),
    "sum": Field(2),
    "variance": Field(2),
    "acc_delta": Field(-2),
    "step_size": Field(-1, from_zero=False),
    "ax": Field(-1, signed=True, is_weight=True),
}
"""Fields of torch's optimizers (https://pytorch.org/docs/stable/optim.html) with the shape of the parameter."""
_NORMALISED_MOMENTUM = Field(0, signed=True)

FACTORED: dict[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "row_var": lambda shape: (*shape[:-1], 1),
    "col_var": lambda shape: (*shape[:-2], 1, *shape[-1:]),
    "exp_avg_sq_row": lambda shape: shape[:-1],
    "exp_avg_sq_col": lambda shape: (*shape[:-2], *shape[-1:]),
}
"""Factors of a second moment (Adafactor, of torch and of transformers) -> their shape, from the parameter's."""

_KEPT: dict[str, tuple[set[str], dict[str, str]]] = {
    "Adam": ({"step", "exp_avg", "exp_avg_sq"}, {"amsgrad": "max_exp_avg_sq"}),
    "NAdam": ({"step", "exp_avg", "exp_avg_sq", "mu_product"}, {}),
    "RAdam": ({"step", "exp_avg", "exp_avg_sq"}, {}),
    "SparseAdam": ({"step", "exp_avg", "exp_avg_sq"}, {}),
    "Adamax": ({"step", "exp_avg", "exp_inf"}, {}),
    "Adadelta": ({"step", "square_avg", "acc_delta"}, {}),
    "Adagrad": ({"step", "sum"}, {}),
    "RMSprop": ({"step", "square_avg"}, {"momentum": "momentum_buffer", "centered": "grad_avg"}),
    "Rprop": ({"step", "prev", "step_size"}, {}),
    "ASGD": ({"step", "ax", "eta", "mu"}, {}),
    "SGD": (set(), {"momentum": "momentum_buffer"}),
    "Muon": ({"momentum_buffer"}, {}),
}
"""Class of torch -> (fields it always keeps, option -> the field that it adds)."""


def field_named(name: str, beside: Collection[str]) -> Field:
    """Return what a field is, from its name and the other fields of the optimizer."""
    if name == "momentum_buffer" and "square_avg" in beside:
        return _NORMALISED_MOMENTUM
    return FIELDS.get(name, UNKNOWN)


Role = Literal["element", "factor", "scalar", "other"]


def role_of(name: str, value: Any, shape: tuple[int, ...]) -> Role:
    """Return how a field relates to a parameter of this shape.

    Raises:
        PlanError: a field that is known to have the parameter's shape, or a factor's, and has another.
    """
    found = tuple(value.shape) if isinstance(value, Tensor) else None
    wanted = shape if name in FIELDS else FACTORED[name](shape) if name in FACTORED else None
    if wanted is not None and value is not None:
        if found != wanted:
            told = list(found) if found is not None else type(value).__name__
            raise PlanError(f"{name} is {told}; the parameter is {list(shape)}", expected=f"{list(wanted)}")
        return "element" if name in FIELDS else "factor"
    if value is None or found == () or isinstance(value, bool | int | float):
        return "scalar"
    return "element" if found == shape else "other"


def moved_rule(rule: Rule, field: Field) -> Rule:
    """Return the rule as it is for a field: nothing cast, scaled by the field's power.

    What cannot be followed is left as it is; `obstacle` tells of it.
    """
    calls: list[Call] = []
    for call in rule.ops:
        if call.name == "scale" and not field.is_weight and call.args[0]:
            calls.append(replace(call, args=(scale_factor(field, call.args[0]),)))
        elif call.name != "cast" and (call.name != "add" or field.is_weight):
            calls.append(call)
    return replace(rule, ops=tuple(calls))


def scale_factor(field: Field, by: float) -> float:
    """Return what a field is multiplied by where the weight is multiplied by `by`."""
    power = field.power or 0
    size = abs(float(by)) ** -power if power < 0 else 1 / abs(float(by)) ** power
    return -size if field.signed and by < 0 else size


def obstacle(rule: Rule, name: str, field: Field, *, zero: bool) -> str:
    """Return why a field cannot follow a rule, or "". `zero` says whether it is zero before the first step."""
    for call in rule.ops:
        if OPS[call.name].moments == "none":
            return f"{name} cannot follow {call}"
        if call.name == "scale" and field.power is None:
            return f"{name} cannot follow {call}: it is not known how it scales with the gradient"
        if call.name == "scale" and not call.args[0] and not field.is_weight:
            return f"{name} cannot follow {call}: nothing undoes it"
        if call.name == "pad" and not zero:
            return f"{name} cannot follow {call}: new elements do not start at zero"
    return ""


def moving_op(rule: Rule) -> str:
    """Return the first thing in a rule that a field without the parameter's shape cannot follow, or ""."""
    for call in rule.ops:
        if call.name not in ("copy", "cast", "add"):
            return str(call)
    spans = [str(term) for term in (*rule.sources, *rule.targets) if term.spans]
    return spans[0] if spans else ""


def missing_fields(kind: str, options: Mapping[str, Any], rank: int, has: Collection[str]) -> tuple[set[str], set[str]]:
    """Return (fields that a class of torch needs and are not there, fields it does not know); empty for others."""
    if kind == "Adafactor":
        wanted = {"step", "row_var", "col_var"} if rank > 1 else {"step", "variance"}
        return wanted - set(has), set(has) - wanted
    if kind not in _KEPT:
        return set(), set()
    always, added = _KEPT[kind]
    # SGD makes its buffer at the first step that misses it; every other optimizer fails there
    needed = always | {field for option, field in added.items() if options.get(option) and kind != "SGD"}
    return needed - set(has), set(has) - always - set(added.values())


def known_kinds() -> frozenset[str]:
    """Return the classes of torch.optim whose fields are known."""
    return frozenset(_KEPT) | {"Adafactor"}
