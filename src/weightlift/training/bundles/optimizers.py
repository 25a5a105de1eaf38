"""An optimizer's state, which a file keys by integers, keyed by the names of parameters; never by a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...codec import Encoder
from ...errors import PlanError
from ...mapping.optimizer_names import Saved, names_of, saved_optimizer
from ...typed import Any
from ..parts.documents import GROUPS, STATE, optimizer_document
from .weights import Weights

Homes = Mapping[str, Weights]
"""Part -> the weights that an optimizer may have trained."""


def unnamed(problems: Sequence[tuple[str, PlanError]], *, one: bool) -> PlanError:
    """Return one error for every optimizer whose parameters cannot be named, with what to do."""
    told = "; ".join(
        f"{name}: {error.found}" + (f", expected {error.expected}" if error.expected else "")
        for name, error in problems
    )
    parts = dict.fromkeys(name.partition("/")[0] for name, _ in problems)
    names = "--names FILE" if one else " ".join(f"--names {name}=FILE" for name, _ in problems)
    remedy = (
        f"give {names} with one parameter name a line, in the order of the saved groups (names= in Python), "
        f"or leave out what cannot be named: {' '.join(f'--without {part}' for part in parts)}"
    )
    return PlanError(told, remedy=remedy)


def document_of(
    held: Mapping[str, Any], name: str, homes: Homes, names: Sequence[str] | None, encoder: Encoder
) -> tuple[dict[str, Any], str]:
    """Return (the document of an optimizer part, how its parameters were named).

    Raises:
        PlanError: the parameters cannot be named without guessing.
    """
    held, own = _by_integers(held)
    saved = saved_optimizer({STATE: _of_parameters(held), GROUPS: held[GROUPS]})
    full, note = _named(saved, homes, names if names is not None else own, is_given=names is not None)
    groups = [(group.ids, group.options) for group in saved.groups]
    state = {**held[STATE], **{i: dict(fields) for i, fields in saved.state.items()}}
    return optimizer_document(name, {**held, STATE: state}, groups, full, encoder, class_name=None), note


def _of_parameters(held: Mapping[str, Any]) -> dict[Any, Any]:
    """The state of the parameters in the groups; what belongs to none is kept beside it, as torch does."""
    groups = held[GROUPS] if isinstance(held[GROUPS], list) else []
    ids = {i for group in groups if isinstance(group, dict) for i in group.get("params") or () if type(i) is int}
    return {key: value for key, value in held[STATE].items() if type(key) is int and key in ids}


def _by_integers(held: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str] | None]:
    """Return the state keyed by integers, and the names where names were the keys (torch.distributed's form)."""
    groups = held[GROUPS]
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return held, None
    listed = [group.get("params") for group in groups]
    if not all(isinstance(ids, list) and all(isinstance(i, str) for i in ids) for ids in listed) or not any(listed):
        return held, None
    names = [name for ids in listed for name in ids]
    number = {name: i for i, name in enumerate(names)}
    if len(number) != len(names):
        return held, None
    numbered = [{**group, "params": [number[n] for n in group["params"]]} for group in groups]
    state = {number.get(key, key) if isinstance(key, str) else key: value for key, value in held[STATE].items()}
    return {**held, STATE: state, GROUPS: numbered}, names


def _named(saved: Saved, homes: Homes, names: Sequence[str] | None, *, is_given: bool) -> tuple[dict[int, str], str]:
    """Return integer -> `part/name`, and how that is known."""
    own = [name for group in saved.groups for name in group.param_names or ()]
    if not saved.ids:
        return {}, "it has no parameters"
    if not homes:
        raise PlanError("no weights are in the bundle that its parameters could be", expected="a state dict beside it")
    if names is None and len(own) == len(saved.ids):
        names = own
    if names is None:
        return _in_order(saved, homes)
    full = [_full(name, homes) for name in names]
    tensors = {f"{part}/{key}": value for part, weights in homes.items() for key, value in weights.tensors.items()}
    by_id = dict(names_of(saved, tensors, full).by_id)
    return by_id, "parameters are named as given" if is_given else "parameters are named by the optimizer itself"


def _full(name: str, homes: Homes) -> str:
    """Return `part/name` of a name with or without its part, and with or without what wrappers put before it."""
    part, _, key = name.partition("/")
    if part in homes and key in homes[part].entries:
        return name
    found = [
        f"{part}/{key}"
        for part, weights in homes.items()
        for key in dict.fromkeys((name, name.removeprefix(weights.stripped)))
        if key in weights.entries
    ]
    if len(found) != 1:
        told = f"is in {' and in '.join(each.partition('/')[0] for each in found)}" if found else "is no weight"
        expected = f"{found[0]!r} or the like" if found else f"names of {', '.join(homes)}"
        raise PlanError(f"the parameter {name!r} {told}", expected=expected)
    return found[0]


def _in_order(saved: Saved, homes: Homes) -> tuple[dict[int, str], str]:
    """Return the names by the order of the weights, where that can be one part's only, and in one way only."""
    fitting: dict[str, dict[int, str]] = {}
    problems: dict[str, PlanError] = {}
    for part, weights in homes.items():
        try:
            named = names_of(saved, weights.tensors).by_id
        except PlanError as error:
            problems[part] = error
        else:
            fitting[part] = {i: f"{part}/{key}" for i, key in named.items()}
    unordered = [part for part in homes if not homes[part].is_ordered]
    if unordered:
        raise PlanError(
            f"its {len(saved.ids)} parameters have no names, and the file of {unordered[0]!r} has lost their order",
            expected="names",
        )
    if len(fitting) > 1:
        raise PlanError(f"it may be that of {' or of '.join(fitting)}: both fit", expected="one")
    if not fitting:
        told = "; ".join(
            f"{part}: {error.found}" if len(problems) > 1 else error.found for part, error in problems.items()
        )
        raise PlanError(
            told, expected=next(iter(problems.values())).expected if len(problems) == 1 else "one that fits"
        )
    part, by_id = next(iter(fitting.items()))
    return (
        by_id,
        f"parameters are named by the order of {part}'s, which all shapes agree with and the file does not say",
    )
