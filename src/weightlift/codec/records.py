"""Instances of the program's own classes as inert records, and records as instances of the classes it names.

Dataclasses, namedtuples, enum members and namespaces are data; nothing else is taken for it. No class
is ever looked up by a name from a file: the caller hands the classes in, and the names have to match.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from ..errors import MalformedError, UnsupportedError, shown
from ..pickles import Global
from ..typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .decoder import Decoder
    from .encoder import Encoder

Node = dict[str, Any]

TYPES = ("argparse.Namespace", "types.SimpleNamespace", "weightlift.codec.records.Record")
KINDS = ("dataclass", "namedtuple", "enum", "namespace", "object")

_IN_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE


class Record:
    """Data of a class that is not at hand: its fields are attributes, and all of them are `vars(record)`.

    `record_class` names the class (`str()` gives it with dots), `record_kind` says what it was: dataclass,
    namedtuple, enum (fields `name` and `value`), namespace or object. Equality is identity.
    """

    __slots__ = ("__dict__", "record_class", "record_kind", "record_more")

    record_class: Global
    record_kind: str
    record_more: tuple[str, ...]
    """Names of attributes that are no fields of the class."""

    def __init__(self, kind: str, record_class: Global, fields: dict[str, Any], more: dict[str, Any]) -> None:
        self.record_kind = kind
        self.record_class = record_class
        self.record_more = tuple(more)
        vars(self).update(fields)
        vars(self).update(more)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={shown(value, 40)}" for name, value in list(vars(self).items())[:20])
        return f"<record {self.record_class}({fields})>"


def is_recordable(cls: type) -> bool:
    """Whether instances of a class are nothing but named data."""
    if _is_enum(cls) or _is_namedtuple(cls):
        return True
    if not hasattr(cls, "__dataclass_fields__") or any(base.__name__ == "Module" for base in cls.__mro__):
        return False
    # a base that is written in C, other than object, holds more than attributes
    return all(base is object or base.__flags__ & _IN_PYTHON for base in cls.__mro__)


def _is_enum(cls: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(cls, enum.Enum)


def _is_namedtuple(cls: type) -> bool:
    names = getattr(cls, "_fields", None)
    return issubclass(cls, tuple) and isinstance(names, tuple) and all(isinstance(name, str) for name in names)


def encode_record(encoder: Encoder, value: Any) -> Any:
    """Module and name of the class, what kind it is, and its fields."""
    cls = type(value)
    more: dict[str, Any] = {}
    if cls is Record:
        where, kind = value.record_class, value.record_kind
        fields, more = _parted(vars(value), value.record_more)
    else:
        where = Global(cls.__module__, cls.__qualname__)
        kind, fields, more = _fields(value, cls)
    made: Node = {"$record": [encoder.value(where.module), encoder.value(where.name)], "kind": kind}
    made["fields"] = encoder.attributes(fields)
    return {**made, "more": encoder.attributes(more)} if more else made


def _fields(value: Any, cls: type) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return kind, fields in order, and other attributes."""
    if _is_enum(cls):
        return "enum", {"name": value._name_, "value": value._value_}, {}
    held = dict(getattr(value, "__dict__", {}))
    if _is_namedtuple(cls):
        names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
        return "namedtuple", dict(zip(names, tuple.__iter__(value), strict=True)), held
    if not hasattr(cls, "__dataclass_fields__"):
        return "namespace", held, {}
    missing = object()
    found = {name: getattr(value, name, missing) for name in _names(cls)}
    fields = {name: item for name, item in found.items() if item is not missing}
    return "dataclass", fields, {name: item for name, item in held.items() if name not in fields}


def _parted(values: dict[str, Any], more: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    apart = set(more)
    kept = {name: item for name, item in values.items() if name not in apart}
    return kept, {name: item for name, item in values.items() if name in apart}


def _names(cls: type) -> list[str]:
    import dataclasses

    return [field.name for field in dataclasses.fields(cls)]


def decode_record(decoder: Decoder, node: Node) -> Any:
    """An instance of the class of that name where the caller gave it; else a `Record`."""
    names = decoder.items(node["$record"])
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise MalformedError(f"the class {shown(names, 60)}", expected="a module and a name in it")
    kind = node.get("kind")
    if kind not in KINDS:
        raise MalformedError(f"a record of kind {shown(kind, 40)}", expected=f"one of {', '.join(KINDS)}")
    fields = decoder.attributes(node.get("fields"))
    more = decoder.attributes(node["more"]) if "more" in node else {}
    cls = decoder.types.get((names[0], names[1]))
    if cls is None:
        return Record(kind, Global(*names), fields, more)
    try:
        return _instance(cls, kind, fields, more)
    except MalformedError as error:
        raise error.at(f"as {cls.__qualname__}") from None
    except Exception as error:  # the caller's own class may do anything
        raise MalformedError(f"{cls.__qualname__} does not take what was saved ({shown(error, 200)})") from error


def types_by_name(types: Iterable[type]) -> dict[tuple[str, str], type]:
    """Return the caller's classes by module and qualified name.

    Raises:
        UnsupportedError: one of them is no dataclass, enum, namedtuple or namespace.
    """
    made = {}
    for cls in types:
        plain = isinstance(cls, type) and f"{cls.__module__}.{cls.__qualname__}" in TYPES[:2]
        if not isinstance(cls, type) or not (plain or is_recordable(cls)):
            raise UnsupportedError(
                f"types names {shown(cls, 60)}", expected="dataclasses, enums, namedtuples, argparse.Namespace"
            )
        made[cls.__module__, cls.__qualname__] = cls
    return made


def _instance(cls: Any, kind: str, fields: dict[str, Any], more: dict[str, Any]) -> Any:
    if kind == "enum" and _is_enum(cls):
        member = cls.__members__.get(fields.get("name"))
        return cls(fields.get("value")) if member is None else member
    if kind == "namedtuple" and _is_namedtuple(cls):
        values = _complete(fields, cls._fields, lambda name: cls._field_defaults[name])
        made = tuple.__new__(cls, values.values())
    elif kind in ("dataclass", "object") and hasattr(cls, "__dataclass_fields__"):
        made = object.__new__(cls)
        if kind == "object":  # a pickle does not tell the fields from the rest
            names = _names(cls)
            fields, more = _parted(fields, [name for name in fields if name not in names])
        for name, value in _complete(fields, _names(cls), _default(cls)).items():
            object.__setattr__(made, name, value)
    elif kind in ("namespace", "object") and not (_is_enum(cls) or _is_namedtuple(cls)):
        made, more = cls(), {**fields, **more}
    else:
        raise MalformedError(f"what was saved is a {kind}")
    if more:
        vars(made).update(more)
    return made


def _complete(fields: dict[str, Any], names: Iterable[str], default: Any) -> dict[str, Any]:
    """Return a value for every field in order; what was not saved takes its default."""
    names = list(names)
    unknown = [name for name in fields if name not in names]
    if unknown:
        raise MalformedError(f"it has no field {unknown[0]!r}", remedy="leave it out of types to read the record")
    made = {}
    for name in names:
        try:
            made[name] = fields[name] if name in fields else default(name)
        except KeyError:
            raise MalformedError(f"the field {name!r} was not saved, and has no default") from None
    return made


def _default(cls: type) -> Any:
    import dataclasses

    def default(name: str) -> Any:
        field = cls.__dataclass_fields__[name]  # type: ignore[attr-defined]
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
        if field.default is dataclasses.MISSING:
            raise KeyError(name)
        return field.default

    return default
