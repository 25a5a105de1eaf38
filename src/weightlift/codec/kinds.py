"""The one table of kinds: what has no form of its own in JSON, each with its tag, its types and two functions.

Types are told by their names, so that none is imported to be recognised; a class that only bears the
name of a known one is not taken for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..typed import TYPE_CHECKING, Any
from ..values import dataclass
from . import arrays, containers, inert, records, scalars, standard, torch_values

if TYPE_CHECKING:
    from .decoder import Decoder
    from .encoder import Encoder

    Encode = Callable[[Encoder, Any], Any]
    Decode = Callable[[Decoder, dict[str, Any]], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of value: `encode` gives its JSON object, `decode` takes it. `more` are the keys beside the tag."""

    tag: str
    types: tuple[str, ...]
    encode: Encode
    decode: Decode | None
    more: tuple[str, ...] = ()
    same: bool = False
    """Whether being one and the same object is part of its meaning (it can be changed, or holds what can be)."""


_TABLE = (
    # tag, types, encode, decode, more keys, whether identity counts
    Kind("$int", ("builtins.int",), scalars.encode_int, scalars.decode_int),
    Kind("$float", ("builtins.float",), scalars.encode_float, scalars.decode_float),
    Kind("$text", ("builtins.str",), scalars.encode_text, scalars.decode_text),
    Kind("$complex", ("builtins.complex",), scalars.encode_complex, scalars.decode_complex),
    Kind("$bytes", ("builtins.bytes",), scalars.encode_bytes, scalars.decode_bytes, (), True),
    Kind("$bytearray", ("builtins.bytearray",), scalars.encode_bytearray, scalars.decode_bytearray, (), True),
    Kind("$ellipsis", ("builtins.ellipsis",), standard.encode_ellipsis, standard.decode_ellipsis),
    Kind("$range", ("builtins.range",), standard.encode_range, standard.decode_range),
    Kind("$slice", ("builtins.slice",), standard.encode_slice, standard.decode_slice, (), True),
    Kind("$packed", ("builtins.list",), containers.encode_list, containers.decode_packed, ("type",), True),
    Kind("$tuple", ("builtins.tuple",), containers.encode_tuple, containers.decode_tuple, (), True),
    Kind("$dict", ("builtins.dict",), containers.encode_dict, containers.decode_dict, (), True),
    Kind("$set", ("builtins.set",), containers.encode_set, containers.decode_set, (), True),
    Kind("$frozenset", ("builtins.frozenset",), containers.encode_frozenset, containers.decode_frozenset, (), True),
    Kind("$deque", ("collections.deque",), containers.encode_deque, containers.decode_deque, ("maxlen",), True),
    Kind(
        "$ordered_dict",
        ("collections.OrderedDict",),
        containers.encode_ordered_dict,
        containers.decode_ordered_dict,
        ("attributes",),
        True,
    ),
    Kind(
        "$counter",
        ("collections.Counter",),
        containers.encode_counter,
        containers.decode_counter,
        ("attributes",),
        True,
    ),
    Kind(
        "$defaultdict",
        ("collections.defaultdict",),
        containers.encode_defaultdict,
        containers.decode_defaultdict,
        ("factory",),
        True,
    ),
    Kind("$decimal", ("decimal.Decimal",), standard.encode_decimal, standard.decode_decimal),
    Kind("$fraction", ("fractions.Fraction",), standard.encode_fraction, standard.decode_fraction),
    Kind("$uuid", ("uuid.UUID",), standard.encode_uuid, standard.decode_uuid, ("safe",)),
    Kind("$path", standard.PATHS, standard.encode_path, standard.decode_path, ("class",)),
    Kind("$date", ("datetime.date",), standard.encode_date, standard.decode_date),
    Kind(
        "$datetime", ("datetime.datetime",), standard.encode_datetime, standard.decode_datetime, ("fold", "zone"), True
    ),
    Kind("$time", ("datetime.time",), standard.encode_time, standard.decode_time, ("fold", "zone"), True),
    Kind("$timedelta", ("datetime.timedelta",), standard.encode_timedelta, standard.decode_timedelta),
    Kind("$timezone", ("datetime.timezone",), standard.encode_timezone, standard.decode_timezone, ("name",)),
    Kind("$zone", ("zoneinfo.ZoneInfo",), standard.encode_zone, standard.decode_zone),
    Kind("$torch", torch_values.NAMED, torch_values.encode_named, torch_values.decode_named),
    Kind("$size", ("torch.Size",), torch_values.encode_size, torch_values.decode_size),
    Kind("$device", ("torch.device",), torch_values.encode_device, torch_values.decode_device),
    Kind(
        "$tensor",
        ("torch.Tensor", "torch.nn.parameter.Parameter", *torch_values.LAZY),
        torch_values.encode_tensor,
        torch_values.decode_tensor,
        ("stride", "parameter", "requires_grad"),
        True,
    ),
    Kind("$array", ("numpy.ndarray",), arrays.encode_array, arrays.decode_array, ("dtype", "shape", "order"), True),
    Kind("$number", ("numpy.generic",), arrays.encode_number, arrays.decode_number, ("dtype",)),
    Kind("$numpy_dtype", ("numpy.dtype",), arrays.encode_dtype, arrays.decode_dtype),
    Kind("$record", records.TYPES, records.encode_record, records.decode_record, ("kind", "fields", "more"), True),
    Kind("$global", inert.GLOBAL, inert.encode_global, inert.decode_global),
    Kind("$object", inert.OBJECT, inert.encode_object, inert.decode_object, inert.OBJECT_KEYS, True),
    Kind("$mapping", inert.DICT, inert.encode_dict, inert.decode_dict, ("of", "state"), True),
    # what is written as another kind is
    Kind("", inert.BLOB, inert.encode_blob, None, (), True),
    Kind("", inert.ARRAY, inert.encode_array, None, (), True),
    Kind("", inert.DTYPE, inert.encode_dtype, None),
)

BY_TAG = {kind.tag: kind for kind in _TABLE if kind.decode is not None}
_BY_TYPE = {name: kind for kind in _TABLE for name in kind.types}


def kind_of(cls: type) -> Kind | None:
    """Return how instances of a class are encoded, or None where they are not.

    A subclass is of its base's kind only where nothing but the base's data is in it: numpy's scalars
    and dtypes, and tensors, whose subclasses `tensors.from_live` knows or refuses.
    """
    found = _named(cls)
    if found is not None:
        return found
    for base in cls.__mro__[1:]:
        above = _named(base)
        if above is not None and (
            above.tag in ("$number", "$numpy_dtype") or (above.tag == "$tensor" and base.__module__ == "torch")
        ):
            return above if above.tag == "$tensor" or _is_of_numpy(cls) else None
    return BY_TAG["$record"] if records.is_recordable(cls) else None


def _named(cls: type) -> Kind | None:
    kind = _BY_TYPE.get(f"{cls.__module__}.{cls.__qualname__}")
    if cls is type(...):  # builtins has no name for it
        return kind
    home = sys.modules.get(cls.__module__) if kind is not None else None
    return kind if home is not None and vars(home).get(cls.__qualname__) is cls else None


def _is_of_numpy(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("numpy", "ml_dtypes")
