"""The inert nodes that reading a pickle leaves: carried over as they are, or as the value that they stand for."""

from __future__ import annotations

from ..dtypes import DTYPES
from ..errors import MalformedError, TensorError, shown
from ..pickles import Blob, Dict, Global, Object
from ..pickles.nodes import NOT_BUILT
from ..tensors import Storage
from ..tensors.arrays import Array, NumpyDType
from ..tensors.lazy import contiguous
from ..typed import TYPE_CHECKING, Any
from .containers import mapping
from .torch_values import TORCH_NAMES

if TYPE_CHECKING:
    from .decoder import Decoder
    from .encoder import Encoder

Node = dict[str, Any]

GLOBAL = ("weightlift.pickles.nodes.Global",)
OBJECT = ("weightlift.pickles.nodes.Object",)
DICT = ("weightlift.pickles.nodes.Dict",)
BLOB = ("weightlift.pickles.nodes.Blob",)
ARRAY = ("weightlift.tensors.arrays.Array",)
DTYPE = ("weightlift.tensors.arrays.NumpyDType",)
OBJECT_KEYS = ("call", "args", "kwargs", "state", "items", "pairs")

_NAMESPACES = {("argparse", "Namespace"), ("types", "SimpleNamespace")}


def encode_global(encoder: Encoder, value: Global) -> Node:
    """Module and name; what torch's own small values are named by is that value."""
    if value.module == "torch" and value.name in TORCH_NAMES:
        return {"$torch": value.name}
    return {"$global": [encoder.value(value.module), encoder.value(value.name)]}


def decode_global(decoder: Decoder, node: Node) -> Global:
    """The inverse of `encode_global`."""
    return global_of(decoder, node["$global"])


def global_of(decoder: Decoder, content: Any) -> Global:
    """Return the `Global` of a [module, name]."""
    names = decoder.items(content)
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise MalformedError(f"the name {shown(names, 60)}", expected="a module and a name in it")
    return Global(*names)


def encode_object(encoder: Encoder, value: Object) -> Node:
    """A record where the object is nothing but attributes of a class; else what the pickle says of it."""
    if isinstance(value.fn, Global) and _is_bare(value):
        kind = "namespace" if (value.fn.module, value.fn.name) in _NAMESPACES else "object"
        names = [encoder.value(value.fn.module), encoder.value(value.fn.name)]
        return {"$record": names, "kind": kind, "fields": encoder.attributes(value.attributes)}
    made: Node = {"$object": encoder.at("fn", value.fn), "call": value.is_call}
    if value.args:
        made["args"] = encoder.at("args", value.args)
    if value.kwargs:
        made["kwargs"] = encoder.at("kwargs", value.kwargs)
    if value.state is not NOT_BUILT:
        made["state"] = encoder.at("state", value.state)
    if value.items:
        made["items"] = encoder.at("items", value.items)
    if value.pairs:
        made["pairs"] = encoder.at("pairs", value.pairs)
    return made


def _is_bare(value: Object) -> bool:
    if value.is_call or value.args or value.kwargs or value.items or value.pairs:
        return False
    fields = value.attributes
    return all(isinstance(name, str) for name in fields) and (bool(fields) or value.state in (NOT_BUILT, {}, None))


def decode_object(decoder: Decoder, node: Node) -> Object:
    """The inverse of `encode_object`: the node, which is still only looked at."""
    fn = decoder.at("fn", node["$object"])
    is_call = node.get("call", False)
    args = decoder.at("args", node["args"]) if "args" in node else ()
    if type(is_call) is not bool or not isinstance(args, tuple):
        raise MalformedError("an object of a pickle with other arguments than a tuple")
    made = Object(fn, args, is_call=is_call, offset=0)
    for name, kind in (("kwargs", dict), ("state", object), ("items", list), ("pairs", dict)):
        if name in node:
            part = decoder.at(name, node[name])
            if not isinstance(part, kind):
                raise MalformedError(f"{name} of an object: {shown(part, 40)}", expected=f"a {kind.__name__}")
            setattr(made, name, part)
    return made


def encode_dict(encoder: Encoder, value: Dict) -> Node:
    """The dict that the class name stands for where it is one of Python's; else the name and the pairs."""
    tag = _DICTS.get(value.class_name)
    state: Node = {} if value.state is NOT_BUILT else {"state": value.state}
    named = isinstance(value.state, dict) and all(isinstance(name, str) for name in value.state)
    if tag is None or (state and not (named and tag in _WITH_ATTRIBUTES)):
        made: Node = {"$mapping": mapping(encoder, value), "of": encoder.value(value.class_name)}
        return {**made, "state": encoder.at("state", value.state)} if state else made
    made = {tag: mapping(encoder, value)}
    return {**made, "attributes": encoder.attributes(value.state)} if value.attributes else made


_DICTS = {
    "collections.OrderedDict": "$ordered_dict",
    "collections.Counter": "$counter",
    "collections.defaultdict": "$defaultdict",  # its factory was left unread
}
_WITH_ATTRIBUTES = ("$ordered_dict", "$counter")


def decode_dict(decoder: Decoder, node: Node) -> Dict:
    """The inverse of `encode_dict`."""
    made = Dict(decoder.text(node.get("of")), decoder.mapping(node["$mapping"]))
    if "state" in node:
        made.state = decoder.at("state", node["state"])
    return made


def encode_blob(encoder: Encoder, value: Blob) -> Node:
    """Bytes that were left in the file: a tensor of them, read when it is written."""
    held = contiguous(DTYPES["uint8"], (len(value),), Storage("blob", len(value), value.source))
    return {"$bytes": {"tensor": encoder.enter(held)}}


def encode_array(encoder: Encoder, value: Array) -> Any:
    """A pickled array as the tensor that it is."""
    try:
        return encoder.value(value.tensor())
    except TensorError:
        return encoder.refuse(f"is a pickled array of {value.dtype}", "leave it out")


def encode_dtype(encoder: Encoder, value: NumpyDType) -> Any:
    """A pickled dtype as numpy's text for it."""
    if value.dtype is None:
        return encoder.refuse(f"is {value}", "leave it out")
    return {"$numpy_dtype": f"{'<' if value.little_endian else '>'}{value.code}"}
