"""safetensors: the header as JSON, our record inside of its metadata, the length before it, the bytes after it."""

from __future__ import annotations

import json
import random
from typing import Any

from . import json_text, raw

_NAMES = ("dtype", "shape", "data_offsets", "__metadata__", "weightlift", "F32", "w", "ties", "views", "values", "places",
          "dtypes", "versions", "of", "offset", "stride", "value", "composite", "parts", "tuple", "format")  # fmt: skip


def changed(data: bytes, rng: random.Random) -> bytes:
    """The header changed and its length put right; or, less often, only the length or the bytes."""
    length = int.from_bytes(data[:8], "little")
    how = rng.randrange(12)
    if how == 0 or not 0 < length <= len(data) - 8:
        return raw.changed(data, rng)
    header, rest = data[8 : 8 + length], data[8 + length :]
    if how == 1:
        return raw.number(rng, length, 64).to_bytes(8, "little") + header + rest
    if how == 2:
        rest = rest[: rng.randint(0, len(rest))] + bytes(rng.choice((0, 0, 1, 4)))
    elif how < 7 and (inner := _changed_record(header, rng)) is not None:
        header = inner
    else:
        header = json_text.changed(header, rng, _NAMES)
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + rest


def _changed_record(header: bytes, rng: random.Random) -> bytes | None:
    try:
        doc: Any = json.loads(header)
        record = json.loads(doc["__metadata__"]["weightlift"])
        doc["__metadata__"]["weightlift"] = json.dumps(json_text.changed_value(record, rng, _NAMES))
        return json_text.dumped(doc)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
