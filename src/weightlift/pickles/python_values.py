"""Calls of the standard library that stand for plain values: what each of them gives, as data."""

from __future__ import annotations

from ..errors import PickleError, shown
from ..typed import Any
from .nodes import Dict, Global, Object
from .state import check_keys


def _ordered_dict(*args: Any) -> Dict:
    # a module holds a dozen empty ones for each of its submodules
    return _dict_of("collections.OrderedDict", *args) if args else Dict("collections.OrderedDict")


def _dict_of(class_name: str, pairs: Any = (), /) -> Dict:
    """A dict given as pairs (how Python 2 reduced an OrderedDict) or as another dict."""
    if isinstance(pairs, Object) and not pairs.pairs:
        pairs = pairs.items
    if isinstance(pairs, list | tuple):
        check_keys(pair[0] for pair in pairs if isinstance(pair, list | tuple) and pair)
    try:
        return Dict(class_name, pairs)
    except (TypeError, ValueError):
        raise PickleError(f"{class_name} is given no pairs", expected="a list of (key, value)") from None


def _default_dict(factory: Any = None, pairs: Any = (), /) -> Dict:
    return _dict_of("collections.defaultdict", pairs)


def _counter(counts: Any = (), /) -> Dict:
    return _dict_of("collections.Counter", counts)


def _plain_dict(pairs: Any = (), /) -> dict[Any, Any]:
    return dict(_dict_of("dict", pairs))


def _encode(text: Any, encoding: Any = "utf-8", /) -> bytes | Object:
    """`_codecs.encode(text, 'latin1')`: how protocol 2 spells bytes. Other codecs stay calls."""
    if isinstance(text, str) and encoding in ("latin1", "latin-1", "iso8859-1", "utf-8", "utf8", "ascii"):
        try:
            return text.encode(encoding)
        except UnicodeEncodeError:
            raise PickleError(f"text that {encoding} cannot encode") from None
    return _kept("_codecs", "encode", text, encoding)


def _bytes(*args: Any) -> bytes | Object:
    if not args:
        return b""
    if len(args) == 2 and args[1] in ("latin1", "latin-1", "utf-8", "ascii"):
        encoded = _encode(*args)
        return encoded if isinstance(encoded, bytes) else _kept("builtins", "bytes", *args)
    if len(args) == 1 and isinstance(args[0], bytes | bytearray):
        return bytes(args[0])
    if len(args) == 1 and isinstance(args[0], list):
        try:
            return bytes(args[0])
        except (TypeError, ValueError):
            raise PickleError("bytes of something that is no byte") from None
    return _kept("builtins", "bytes", *args)


def _bytearray(*args: Any) -> bytearray | Object:
    made = _bytes(*args)
    return bytearray(made) if isinstance(made, bytes) else made


def _items(made: type[Any], items: Any) -> Any:
    if not isinstance(items, list | tuple | set | frozenset):
        raise PickleError(f"a {made.__name__} of a {type(items).__name__}", expected="a list")
    if made in (set, frozenset):
        check_keys(items)
    try:
        return made(items)
    except TypeError:
        raise PickleError(f"a {made.__name__} item that cannot be hashed") from None


def _complex(real: Any = 0.0, imaginary: Any = 0.0, /) -> complex:
    if not isinstance(real, int | float) or not isinstance(imaginary, int | float):
        raise PickleError("a complex number of something else than numbers")
    try:
        return complex(real, imaginary)
    except OverflowError:
        raise PickleError(f"a complex number of {shown(real, 40)} and {shown(imaginary, 40)}") from None


def _reconstructor(cls: Any, base: Any, state: Any, /) -> Object:
    """`copyreg._reconstructor`: an instance as protocols 0 and 1 spell it."""
    made = Object(cls, (), is_call=False, offset=0)
    if isinstance(state, dict):
        made.pairs = state
    elif isinstance(state, list | tuple):
        made.items = list(state)
    return made


def _newobj(cls: Any, *args: Any) -> Object:
    return Object(cls, args, is_call=False, offset=0)


def _kept(module: str, name: str, *args: Any) -> Object:
    """The call as it is, for arguments that give no plain value."""
    return Object(Global(module, name), args, is_call=True, offset=0)


def _instance_of(module: str, name: str) -> Any:
    def rebuild(*args: Any) -> Object:
        return Object(Global(module, name), args, is_call=False, offset=0)

    return rebuild


PYTHON_VALUES = {
    "ordered_dict": _ordered_dict,
    "default_dict": _default_dict,
    "counter": _counter,
    "dict": _plain_dict,
    "encode": _encode,
    "bytes": _bytes,
    "bytearray": _bytearray,
    "set": lambda items=(): _items(set, list(items) if isinstance(items, tuple) else items),
    "frozenset": lambda items=(): _items(frozenset, items),
    "list": lambda items=(): _items(list, items),
    "tuple": lambda items=(): _items(tuple, items),
    "complex": _complex,
    "reconstructor": _reconstructor,
    "newobj": _newobj,
    "namespace": _instance_of("argparse", "Namespace"),
}
"""Rebuild name -> function. `known_globals` says which global each serves."""
