"""Lists, tuples, sets and dicts: their order, their keys of any type, and long runs of numbers packed."""

from __future__ import annotations

import sys
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping

from ..errors import MalformedError, shown
from ..pickles.state import check_keys
from ..typed import TYPE_CHECKING, Any
from . import scalars

if TYPE_CHECKING:
    from .decoder import Decoder
    from .encoder import Encoder

_PACKED_FROM = 64  # numbers in a row

# type in the document -> typecode of `array`, the smallest first
_INTEGERS = {"u1": "B", "i1": "b", "u2": "H", "i2": "h", "u4": "I", "i4": "i", "u8": "Q", "i8": "q"}
_PACKED = {**_INTEGERS, "f8": "d"}

_FACTORIES: dict[str, Any] = {
    **{cls.__name__: cls for cls in (int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset)},
    "deque": deque,
    "OrderedDict": OrderedDict,
    "Counter": Counter,
}

Node = dict[str, Any]


def pack(encoder: Encoder, values: list[Any]) -> Node | None:
    """Return many integers, or many floats, as one run of little-endian bytes; None for anything else."""
    if len(values) < _PACKED_FROM or type(values[0]) not in (int, float):
        return None
    types = set(map(type, values))
    if types == {float}:
        name = "f8"
    elif types == {int}:
        low, high = min(values), max(values)
        name = next((name for name in _INTEGERS if _holds(name, low) and _holds(name, high)), "")
    else:
        name = ""
    if not name:
        return None
    packed = array(_PACKED[name], values)
    if sys.byteorder == "big":
        packed.byteswap()
    return {"$packed": scalars.blob(encoder, packed.tobytes()), "type": name}


def _holds(name: str, value: int) -> bool:
    bits = 8 * int(name[1:])
    return 0 <= value < 1 << bits if name[0] == "u" else -(1 << bits - 1) <= value < 1 << bits - 1


def decode_packed(decoder: Decoder, node: Node) -> list[Any]:
    """The inverse of `pack`."""
    code = _PACKED.get(node.get("type", ""))
    if code is None:
        raise MalformedError(
            f"numbers packed as {shown(node.get('type'), 40)}", expected=f"one of {', '.join(_PACKED)}"
        )
    values: array[Any] = array(code)
    values.frombytes(scalars.blob_bytes(decoder, node["$packed"]))
    if sys.byteorder == "big":
        values.byteswap()
    decoder.spend(len(values))
    return values.tolist()


def encode_list(encoder: Encoder, value: list[Any]) -> Any:
    """A JSON array."""
    return encoder.items(value)


def encode_tuple(encoder: Encoder, value: tuple[Any, ...]) -> Node:
    """Items in order."""
    return {"$tuple": encoder.items(list(value))}


def decode_tuple(decoder: Decoder, node: Node) -> tuple[Any, ...]:
    """The inverse of `encode_tuple`."""
    return tuple(decoder.items(node["$tuple"]))


def encode_dict(encoder: Encoder, value: dict[Any, Any]) -> Any:
    """A JSON object where all keys are plain text; else pairs."""
    content = mapping(encoder, value)
    return {"$dict": content} if isinstance(content, list) else content


def decode_dict(decoder: Decoder, node: Node) -> dict[Any, Any]:
    """The inverse of `encode_dict`."""
    return decoder.mapping(node["$dict"])


def mapping(encoder: Encoder, value: Mapping[Any, Any]) -> Any:
    """Return a mapping's form: a JSON object, or an array of [key, value] where a key is no plain text."""
    steps = encoder.steps
    if all(type(key) is str and key[:1] != "$" and (key.isascii() or is_unicode(key)) for key in value):
        made = {}
        for key, item in value.items():
            steps.append((key,))
            made[key] = encoder.value(item)
            steps.pop()
        return made
    pairs = []
    for key, item in value.items():
        steps.append((key,))
        pairs.append([encoder.value(key), encoder.value(item)])
        steps.pop()
    return pairs


def is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates, which UTF-8 has no bytes for."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _in_order(values: Iterable[Any]) -> list[Any]:
    """Return the items of a set, sorted where they are all numbers or all text: the same in every process."""
    items = list(values)
    types = set(map(type, items))
    return sorted(items) if types in ({int}, {str}) else items


def encode_set(encoder: Encoder, value: set[Any]) -> Node:
    """Items in any order."""
    return {"$set": encoder.items(_in_order(value))}


def decode_set(decoder: Decoder, node: Node) -> set[Any]:
    """The inverse of `encode_set`."""
    return set(_distinct(decoder, node["$set"]))


def encode_frozenset(encoder: Encoder, value: frozenset[Any]) -> Node:
    """As a set."""
    return {"$frozenset": encoder.items(_in_order(value))}


def decode_frozenset(decoder: Decoder, node: Node) -> frozenset[Any]:
    """The inverse of `encode_frozenset`."""
    return frozenset(_distinct(decoder, node["$frozenset"]))


def _distinct(decoder: Decoder, content: Any) -> list[Any]:
    items = decoder.items(content)
    decoder.key_parts_left = check_keys(items, decoder.key_parts_left)
    if len(set(items)) != len(items):
        raise MalformedError("an item twice in a set")
    return items


def encode_deque(encoder: Encoder, value: deque[Any]) -> Node:
    """Items in order, and how many it keeps at most."""
    made = {"$deque": encoder.items(list(value))}
    return made if value.maxlen is None else {**made, "maxlen": encoder.value(value.maxlen)}


def decode_deque(decoder: Decoder, node: Node) -> deque[Any]:
    """The inverse of `encode_deque`."""
    items = decoder.items(node["$deque"])
    most = decoder.value(node.get("maxlen"))
    if most is not None and (type(most) is not int or most < len(items)):
        raise MalformedError(f"a deque of {len(items)} items with maxlen {shown(most, 40)}")
    return deque(items, most)


def encode_ordered_dict(encoder: Encoder, value: OrderedDict[Any, Any]) -> Node:
    """Keys and values, and what hangs on it as attributes (the `_metadata` of a state dict)."""
    return {"$ordered_dict": mapping(encoder, value), **_attributes(encoder, value)}


def decode_ordered_dict(decoder: Decoder, node: Node) -> OrderedDict[Any, Any]:
    """The inverse of `encode_ordered_dict`."""
    made: OrderedDict[Any, Any] = OrderedDict(decoder.mapping(node["$ordered_dict"]))
    _set_attributes(decoder, made, node)
    return made


def encode_counter(encoder: Encoder, value: Counter[Any]) -> Node:
    """Keys and counts."""
    return {"$counter": mapping(encoder, value), **_attributes(encoder, value)}


def decode_counter(decoder: Decoder, node: Node) -> Counter[Any]:
    """The inverse of `encode_counter`."""
    made: Counter[Any] = Counter()
    dict.update(made, decoder.mapping(node["$counter"]))
    _set_attributes(decoder, made, node)
    return made


def _attributes(encoder: Encoder, value: Any) -> Node:
    held = vars(value)
    return {"attributes": encoder.attributes(held)} if held else {}


def _set_attributes(decoder: Decoder, made: Any, node: Node) -> None:
    if "attributes" in node:
        vars(made).update(decoder.attributes(node["attributes"]))


def encode_defaultdict(encoder: Encoder, value: defaultdict[Any, Any]) -> Any:
    """Keys and values, and the name of a factory of the table above."""
    factory = value.default_factory
    name = next((name for name, known in _FACTORIES.items() if known is factory), None)
    if factory is not None and name is None:
        encoder.steps.append("default_factory")
        encoder.refuse(f"is {shown(factory, 60)}", f"use one of {', '.join(_FACTORIES)}, or save dict(...)")
        encoder.steps.pop()
    return {"$defaultdict": mapping(encoder, value), "factory": name}


def decode_defaultdict(decoder: Decoder, node: Node) -> defaultdict[Any, Any]:
    """The inverse of `encode_defaultdict`."""
    name = node.get("factory")
    if name is not None and (not isinstance(name, str) or name not in _FACTORIES):
        raise MalformedError(f"the factory {shown(name, 40)}", expected=f"one of {', '.join(_FACTORIES)}")
    return defaultdict(_FACTORIES[name] if name else None, decoder.mapping(node["$defaultdict"]))
