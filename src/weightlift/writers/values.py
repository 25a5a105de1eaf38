"""What safetensors has no word for, as JSON beside it: composite tensors, tuples, dtypes, numbers.

`describe` turns a value into a JSON skeleton and the plain tensors it refers to by key; `restore` is
its inverse. Nothing is ever imported by name when reading one back.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from ..dtypes import DTYPES
from ..errors import MalformedError, UnsupportedError, shown
from ..limits import DEFAULT_LIMITS
from ..pickles import Dict, Global
from ..pickles.script_objects import script_object, script_state
from ..tensors import Composite, Tensor
from ..tensors.computed import Computed, Lazy
from ..typed import Any

JSON = Any
_PLAIN = bool | int | str | None
_DEEPEST = 50  # torch nests four deep; a list that holds itself would never end
_MOST_VALUES = 100_000  # in one entry; the header of safetensors is no place for more


def describe(key: str, value: Any, tensors: dict[str, Lazy]) -> JSON:
    """Return the skeleton of a value; plain tensors in it are put into `tensors` under `key.…`.

    Raises:
        UnsupportedError: a value that is neither tensors nor plain data.
    """
    if _is_too_much(value):
        raise UnsupportedError(f"{key!r} holds more than {_MOST_VALUES} values", remedy="leave it out with --drop")
    return _describe(key, value, tensors, 0)


def _is_too_much(value: Any) -> bool:
    """Whether a value holds more than can be written out; what is shared is written as often as it is met."""
    count = 0
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > _DEEPEST:
            continue  # refused when it is described
        count += 1
        if isinstance(item, dict):
            inside = [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            inside = list(item)
        elif isinstance(item, Composite):
            inside = [*item.parts.values(), *item.attributes.values()]
        elif (script := script_state(item)) is not None:
            inside = [script[1]]
        else:
            continue
        if count + len(inside) + len(waiting) > _MOST_VALUES:
            return True
        waiting += [(part, depth + 1) for part in inside]
    return False


def _describe(key: str, value: Any, tensors: dict[str, Lazy], depth: int) -> JSON:
    depth += 1
    if depth > _DEEPEST:
        raise UnsupportedError(f"{key:.80} is nested deeper than {_DEEPEST}", remedy="leave it out with --drop")
    if isinstance(value, Tensor | Computed):
        if key in tensors and tensors[key] is not value:
            raise UnsupportedError(f"two tensors would be called {key!r}", remedy="rename one of them")
        tensors[key] = value
        return {"tensor": key}
    if isinstance(value, Composite):
        return {
            "composite": value.layout,
            "dtype": value.dtype.name if value.dtype else None,
            "shape": list(value.shape),
            "class": value.class_name,
            "parts": {
                name: _describe(f"{key}.{name}", part, tensors, depth)["tensor"] for name, part in value.parts.items()
            },
            "attributes": {
                name: _describe(f"{key}.{name}", item, tensors, depth)
                for name, item in value.attributes.items()
                if is_describable(item)
            },
        }
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, _PLAIN):
        return {"value": value}
    if isinstance(value, Global) and value.module == "torch":
        return {"torch": value.name}
    if isinstance(value, bytes | bytearray):
        return {"bytes": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_describe(f"{key}.{i}", item, tensors, depth) for i, item in enumerate(value)]}
    if isinstance(value, dict):
        pairs = [
            [_describe(f"{key}.key", k, {}, depth), _describe(f"{key}.{k}", item, tensors, depth)]
            for k, item in value.items()
        ]
        return {"dict": pairs}
    if (script := script_state(value)) is not None:
        return {"script_object": script[0], "state": _describe(f"{key}.state", script[1], tensors, depth)}
    raise UnsupportedError(
        f"{key!r} is {shown(value)}, which is neither a tensor nor plain data", remedy="leave it out with --drop"
    )


def is_describable(value: Any) -> bool:
    """Whether a value is data that a skeleton can hold."""
    waiting, count = [value], 0
    while waiting:
        item = waiting.pop()
        count += 1
        if isinstance(item, tuple | list):
            waiting += item
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, Global):
            if item.module != "torch":
                return False
        elif not isinstance(item, Tensor | Composite | float | bytes | bytearray | _PLAIN):
            return False
        if count + len(waiting) > _MOST_VALUES:
            return False
    return True


def restore(skeleton: JSON, tensor: Callable[[str], Tensor]) -> Any:
    """Return the value of a skeleton; `tensor` gives the plain tensors by key.

    Raises:
        MalformedError: no skeleton that `describe` writes.
    """
    if not isinstance(skeleton, Mapping) or not skeleton:
        raise MalformedError(f"{shown(skeleton, 60)} describes no value", expected="what weightlift writes")
    kind, content = next(iter(skeleton.items()))
    try:
        if kind == "tensor":
            return tensor(content)
        if kind == "composite":
            return _composite(skeleton, tensor)
        if kind == "float":
            return float.fromhex(content)
        if kind == "value" and isinstance(content, _PLAIN):
            return content
        if kind == "torch":
            return Global("torch", str(content))
        if kind == "bytes":
            return base64.b64decode(content)
        if kind in ("tuple", "list"):
            items = [restore(item, tensor) for item in content]
            return tuple(items) if kind == "tuple" else items
        if kind == "script_object":
            return script_object(str(content), restore(skeleton["state"], tensor))
        if kind == "dict":
            return Dict("dict", [(restore(k, tensor), restore(v, tensor)) for k, v in content])
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError):
        pass
    raise MalformedError(f"{shown(skeleton, 60)} describes no value", expected="what weightlift writes")


def whole_numbers(sizes: Any) -> tuple[int, ...]:
    """Return the sizes or strides of a tensor in a record.

    Raises:
        ValueError: they are no list of integers that a tensor can have.
    """
    if not isinstance(sizes, list) or len(sizes) > DEFAULT_LIMITS.dimensions:
        raise ValueError
    if not all(type(n) is int and -(1 << 63) <= n < 1 << 63 for n in sizes):
        raise ValueError
    return tuple(sizes)


def _composite(skeleton: Mapping[str, Any], tensor: Callable[[str], Tensor]) -> Composite:
    parts = {name: tensor(key) for name, key in skeleton["parts"].items()}
    more = {name: restore(item, tensor) for name, item in skeleton["attributes"].items()}
    dtype = DTYPES[skeleton["dtype"]] if skeleton["dtype"] else None
    shape = whole_numbers(skeleton["shape"])
    return Composite(str(skeleton["composite"]), dtype, shape, parts, more, class_name=str(skeleton["class"]))
