"""Values of the standard library: paths, dates and times, exact numbers, ranges."""

from __future__ import annotations

import os
import re

from ..errors import MalformedError, shown
from ..typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt
    import decimal
    import fractions
    import pathlib
    import uuid
    import zoneinfo

    from .decoder import Decoder
    from .encoder import Encoder

Node = dict[str, Any]

_PATH_CLASSES = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
PATHS = tuple(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATH_CLASSES)

_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_FRACTION_BITS = 1 << 15  # of either part: bringing it to lowest terms takes the square of that


def integers(decoder: Decoder, content: Any, count: int) -> list[int]:
    """Return exactly `count` integers."""
    values = decoder.items(content)
    if len(values) != count or any(type(value) is not int for value in values):
        raise MalformedError(f"{shown(values, 40)}", expected=f"{count} integers")
    return values


def encode_ellipsis(_: Encoder, __: Any) -> Node:
    """Nothing but its tag."""
    return {"$ellipsis": True}


def decode_ellipsis(_: Decoder, node: Node) -> Any:
    """The inverse of `encode_ellipsis`."""
    if node["$ellipsis"] is not True:
        raise MalformedError("an ellipsis with content")
    return ...


def encode_range(encoder: Encoder, value: range) -> Node:
    """Start, stop and step."""
    return {"$range": [encoder.value(part) for part in (value.start, value.stop, value.step)]}


def decode_range(decoder: Decoder, node: Node) -> range:
    """The inverse of `encode_range`."""
    return range(*integers(decoder, node["$range"], 3))


def encode_slice(encoder: Encoder, value: slice) -> Node:
    """Start, stop and step, of any type."""
    return {"$slice": [encoder.at(name, getattr(value, name)) for name in ("start", "stop", "step")]}


def decode_slice(decoder: Decoder, node: Node) -> slice:
    """The inverse of `encode_slice`."""
    parts = decoder.items(node["$slice"])
    if len(parts) != 3:
        raise MalformedError(f"a slice of {len(parts)} parts", expected="start, stop and step")
    return slice(*parts)


def encode_decimal(_: Encoder, value: decimal.Decimal) -> Node:
    """Its text, which gives digits, exponent, sign and NaN payload."""
    return {"$decimal": str(value)}


def decode_decimal(decoder: Decoder, node: Node) -> decimal.Decimal:
    """The inverse of `encode_decimal`."""
    from decimal import Decimal

    return Decimal(decoder.text(node["$decimal"]))


def encode_fraction(encoder: Encoder, value: fractions.Fraction) -> Any:
    """Numerator and denominator."""
    parts = (value.numerator, value.denominator)
    if max(part.bit_length() for part in parts) > _FRACTION_BITS:
        return encoder.refuse(f"is a fraction of more than {_FRACTION_BITS} bits", "save its numerator and denominator")
    return {"$fraction": [encoder.value(part) for part in parts]}


def decode_fraction(decoder: Decoder, node: Node) -> fractions.Fraction:
    """The inverse of `encode_fraction`."""
    from fractions import Fraction

    parts = integers(decoder, node["$fraction"], 2)
    if max(part.bit_length() for part in parts) > _FRACTION_BITS:
        raise MalformedError(f"a fraction of more than {_FRACTION_BITS} bits")
    return Fraction(*parts)


def encode_uuid(_: Encoder, value: uuid.UUID) -> Node:
    """Its hexadecimal text, and whether it was made in a way that is safe among processes, where known."""
    safe = value.is_safe.value
    return {"$uuid": str(value)} if safe is None else {"$uuid": str(value), "safe": safe}


def decode_uuid(decoder: Decoder, node: Node) -> uuid.UUID:
    """The inverse of `encode_uuid`."""
    from uuid import UUID, SafeUUID

    safe = decoder.value(node.get("safe"))
    return UUID(decoder.text(node["$uuid"]), is_safe=SafeUUID(safe))


def encode_path(encoder: Encoder, value: pathlib.PurePath) -> Node:
    """Its text and class."""
    return {"$path": encoder.value(str(value)), "class": type(value).__name__}


def decode_path(decoder: Decoder, node: Node) -> pathlib.PurePath:
    """The inverse of `encode_path`; a path of another system comes as the pure path of that system."""
    import pathlib

    text, name = decoder.value(node["$path"]), node.get("class")
    if not isinstance(text, str) or name not in _PATH_CLASSES:
        raise MalformedError(f"a path {shown(text, 40)} of class {shown(name, 40)}")
    foreign = "PosixPath" if os.name == "nt" else "WindowsPath"
    made: pathlib.PurePath = getattr(pathlib, f"Pure{name}" if name == foreign else name)(text)
    return made


def encode_date(_: Encoder, value: dt.date) -> Node:
    """ISO 8601."""
    return {"$date": value.isoformat()}


def decode_date(decoder: Decoder, node: Node) -> dt.date:
    """The inverse of `encode_date`."""
    import datetime as dt

    return dt.date.fromisoformat(decoder.text(node["$date"]))


def encode_datetime(encoder: Encoder, value: dt.datetime) -> Node:
    """ISO 8601 of the local time, its fold and its zone."""
    return {"$datetime": value.replace(tzinfo=None, fold=0).isoformat(), **_zoned(encoder, value)}


def decode_datetime(decoder: Decoder, node: Node) -> dt.datetime:
    """The inverse of `encode_datetime`."""
    import datetime as dt

    made: dt.datetime = _local(dt.datetime.fromisoformat(decoder.text(node["$datetime"])))
    return made.replace(fold=_fold(node), tzinfo=decoder.at("tzinfo", node.get("zone")))


def encode_time(encoder: Encoder, value: dt.time) -> Node:
    """As a datetime."""
    return {"$time": value.replace(tzinfo=None, fold=0).isoformat(), **_zoned(encoder, value)}


def decode_time(decoder: Decoder, node: Node) -> dt.time:
    """The inverse of `encode_time`."""
    import datetime as dt

    made: dt.time = _local(dt.time.fromisoformat(decoder.text(node["$time"])))
    return made.replace(fold=_fold(node), tzinfo=decoder.at("tzinfo", node.get("zone")))


def _zoned(encoder: Encoder, value: Any) -> Node:
    made: Node = {"fold": 1} if value.fold else {}
    return made if value.tzinfo is None else {**made, "zone": encoder.at("tzinfo", value.tzinfo)}


def _local(made: Any) -> Any:
    if made.tzinfo is not None:
        raise MalformedError(f"the time {made}", expected="its zone beside it")
    return made


def _fold(node: Node) -> int:
    fold = node.get("fold", 0)
    if type(fold) is not int or fold not in (0, 1):
        raise MalformedError(f"fold {shown(fold, 40)}", expected="0 or 1")
    return fold


def encode_timedelta(_: Encoder, value: dt.timedelta) -> Node:
    """Days, seconds and microseconds."""
    return {"$timedelta": [value.days, value.seconds, value.microseconds]}


def decode_timedelta(decoder: Decoder, node: Node) -> dt.timedelta:
    """The inverse of `encode_timedelta`."""
    import datetime as dt

    return dt.timedelta(*integers(decoder, node["$timedelta"], 3))


def encode_timezone(encoder: Encoder, value: dt.timezone) -> Node:
    """The offset as a timedelta, and the name where one was given."""
    offset = value.utcoffset(None)
    made = {"$timezone": [offset.days, offset.seconds, offset.microseconds]}
    name = value.tzname(None)
    return made if name == type(value)(offset).tzname(None) else {**made, "name": encoder.value(name)}


def decode_timezone(decoder: Decoder, node: Node) -> dt.timezone:
    """The inverse of `encode_timezone`."""
    import datetime as dt

    offset = dt.timedelta(*integers(decoder, node["$timezone"], 3))
    if not offset and "name" not in node:
        return dt.UTC
    return dt.timezone(offset, *([decoder.value(node["name"])] if "name" in node else []))


def encode_zone(encoder: Encoder, value: zoneinfo.ZoneInfo) -> Any:
    """Its name in the time zone database."""
    if not isinstance(value.key, str) or not _ZONE.fullmatch(value.key):
        return encoder.refuse("is a time zone without a name", "use ZoneInfo(name)")
    return {"$zone": value.key}


def decode_zone(decoder: Decoder, node: Node) -> zoneinfo.ZoneInfo:
    """The inverse of `encode_zone`; only looks among the time zones of this machine."""
    import zoneinfo

    key = decoder.text(node["$zone"])
    # ZoneInfo would look in a package for what the machine does not have, and import by that name
    if not _ZONE.fullmatch(key):
        raise MalformedError(f"the time zone {shown(key, 60)}", expected="a name of the time zone database")
    here = not zoneinfo.TZPATH or any(os.path.isfile(os.path.join(path, key)) for path in zoneinfo.TZPATH)
    if not here:
        raise MalformedError(f"the time zone {shown(key, 60)}", expected="one that this machine knows")
    return zoneinfo.ZoneInfo(key)
