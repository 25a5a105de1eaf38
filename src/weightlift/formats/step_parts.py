"""The parts of an opened checkpoint directory as inert values, as if torch had written them: nothing is rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..codec import decode
from ..errors import MalformedError, shown
from ..pickles import Dict
from ..typed import Any

Tensors = Mapping[str, Any]


def tree_of(documents: Mapping[str, Any], tensors: Tensors) -> Dict:
    """Return name -> part: of a module its state dict, of an optimizer what `optimizer.state_dict()` gives.

    Raises:
        MalformedError: a document that describes no part; says which.
    """
    parts = {name: part_of(document, name, tensors) for name, document in documents.items()}
    loose: dict[str, Any] = {}
    apart: dict[str, Any] = {}
    for name, value in tensors.items():
        part, key = _home(name)
        if part in documents:
            continue
        if part.startswith("rank/"):  # a buffer that differs from that of rank 0
            _, number, own = part.split("/")
            apart.setdefault(number, {}).setdefault(own, {})[key] = value
        else:
            loose[name] = value
    return Dict("dict", {**parts, **({"rank": apart} if apart else {}), **loose})


def _home(name: str) -> tuple[str, str]:
    """Return the part that a tensor belongs to, and its name there; what is one rank's own begins with `rank/<r>/`."""
    part, _, rest = name.partition("/")
    if part == "rank" and rest.count("/") > 1:
        number, own, rest = rest.split("/", 2)
        return f"rank/{number}/{own}", rest
    return part, rest


def part_of(document: Any, name: str, tensors: Tensors) -> Any:
    """Return one part."""
    if not isinstance(document, dict):
        raise MalformedError(f"{shown(document, 60)}", expected="what describes a part", where=name)
    kind = document.get("kind")
    try:
        return _KINDS.get(kind, _as_it_is)(document, name, tensors) if isinstance(kind, str) else document
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MalformedError(f"a {kind} that says nothing ({error!r:.80})", where=name) from None


def _module(document: Mapping[str, Any], name: str, tensors: Tensors) -> Dict:
    """The state dict: tensors in their order, and what else the module put into it at its place."""
    values = document.get("values") or {}
    held = {key: value for key, value in under(name, tensors).items() if key.partition("/")[0] not in values}
    held |= {key: _decoded(value, f"{name}/{key}", tensors) for key, value in values.items()}
    order = document.get("order") or held
    made = Dict("dict", {key: held[key] for key in dict.fromkeys([*(key for key in order if key in held), *held])})
    versions = _decoded(document.get("versions"), name, tensors)
    if isinstance(versions, dict):
        made.build({"_metadata": versions})
    return made


def _optimizer(document: Mapping[str, Any], name: str, tensors: Tensors) -> Dict:
    """What torch's `state_dict()` gives: integers, and the names that they stand for."""
    names = [each for group in document["groups"] for each in group["params"]]
    number = {each: i for i, each in enumerate(names)}
    homes = {each.partition("/")[0] for each in names}
    short = {each: each.partition("/")[2] if len(homes) == 1 else each for each in names}
    groups = [
        {
            **_decoded(group["options"], name, tensors),
            "params": [number[each] for each in group["params"]],
            "param_names": [short[each] for each in group["params"]],
        }
        for group in document["groups"]
    ]
    state = {number[each]: _decoded(fields, f"{name}/{each}", tensors) for each, fields in document["state"].items()}
    rest = _decoded(document["rest"], name, tensors) if document.get("rest") else {}
    return Dict("dict", {"state": state, "param_groups": groups, **rest})


def _several(document: Mapping[str, Any], name: str, tensors: Tensors) -> Dict:
    return Dict("dict", {key: part_of(item, f"{name}/{key}", tensors) for key, item in document["items"].items()})


def _state(document: Mapping[str, Any], name: str, tensors: Tensors) -> Any:
    return _decoded(document.get("state"), name, tensors)


def _value(document: Mapping[str, Any], name: str, tensors: Tensors) -> Any:
    return _decoded(document.get("value"), name, tensors)


def _as_it_is(document: Mapping[str, Any], name: str, tensors: Tensors) -> Any:
    """Generators, and kinds that are not known here: their tensors, and the document."""
    return Dict("dict", {**under(name, tensors), "document": document})


_KINDS: dict[str, Callable[[Mapping[str, Any], str, Tensors], Any]] = {
    "module": _module,
    "optimizer": _optimizer,
    "several": _several,
    "stateful": _state,
    "value": _value,
}


def under(name: str, tensors: Tensors) -> dict[str, Any]:
    """Return the tensors of a part, by what follows its name."""
    begin = f"{name}/"
    return {key.removeprefix(begin): value for key, value in tensors.items() if key.startswith(begin)}


def _decoded(document: Any, name: str, tensors: Tensors) -> Any:
    return decode(document, lambda key, _: tensors[key], root=name)
