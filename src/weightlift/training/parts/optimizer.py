"""An optimizer: options by group and state by parameter name, found by identity. Reading one changes nothing in it."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import MalformedError, PlanError, UnsupportedError, plural
from ...tensors.torch_optimizers import has_groups
from ...typed import Any
from .base import Filling, Kind, Reading, class_name
from .documents import GROUPS, optimizer_document
from .optimizer_exact import fill_exactly
from .optimizer_moved import fill_moved

_ANY_NAME = "as model= or any other name; of a parameter that is in none, nn.ParameterList([it])"


def _recognises(name: str, part: Any) -> bool:
    del name
    return has_groups(part)


def _read(part: Any, name: str, reading: Reading) -> dict[str, Any]:
    held = part.state_dict()
    groups = [(group["params"], _options(group)) for group in held[GROUPS]]
    names = _names(part, held[GROUPS], name, reading)
    return optimizer_document(name, held, groups, names, reading.encoder, class_name=class_name(part))


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ("params", "param_names")}


def _names(part: Any, groups: Any, where: str, reading: Reading) -> dict[Any, str]:
    """Return integer of the state dict -> name of the parameter.

    Raises:
        UnsupportedError: a parameter of no module of the run.
    """
    names: dict[Any, str] = {}
    for at, (group, live) in enumerate(zip(groups, part.param_groups, strict=True)):
        for i, parameter in zip(group["params"], live["params"], strict=True):
            if id(parameter) not in reading.parameters:
                raise UnsupportedError(
                    f"group {at} has a parameter of shape {list(parameter.shape)} that is in no module of the run",
                    expected="parameters that can be named",
                    remedy=f"give the module that has it beside the optimizer, {_ANY_NAME}",
                    where=where,
                )
            names[i] = reading.parameters[id(parameter)]
    return names


def _fill(document: Mapping[str, Any], part: Any, name: str, filling: Filling) -> Any:
    if not has_groups(part):
        raise PlanError(f"a {type(part).__name__}", expected="an optimizer, as was saved", where=name)
    groups, state = document.get("groups"), document.get("state")
    if not isinstance(groups, list) or not isinstance(state, dict):
        raise MalformedError("an optimizer without groups and state", where=name)
    homes = {_home(each, filling) for group in groups for each in group["params"]}
    if planned := sorted(homes & set(filling.plans)):
        if len(homes) > 1:
            told = f"it trains {plural(len(homes), 'module')} ({', '.join(sorted(homes))}), and {planned[0]} has a plan"
            raise UnsupportedError(told, expected="one module for each optimizer that a plan moves", where=name)
        fill_moved(document, part, name, planned[0], filling)
    else:
        fill_exactly(document, part, name, filling)
    return part


def _home(parameter: str, filling: Filling) -> str:
    """Return the module that a parameter is of: `model`, or one in a list or dict of parts, `nets/gen`."""
    within = (module for module in filling.modules if parameter.startswith(f"{module}/"))
    return next(within, parameter.partition("/")[0])


KIND = Kind("optimizer", _recognises, _read, _fill)
