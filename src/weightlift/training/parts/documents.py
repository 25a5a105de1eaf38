"""The documents of modules and optimizers, whether they are read from live ones or from files of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from ...codec import Encoder
from ...typed import Any

STATE, GROUPS = "state", "param_groups"
"""What every optimizer's state dict has; the rest is its own."""


def module_document(
    name: str,
    entries: Mapping[str, Any],
    tensors: AbstractSet[str],
    encoder: Encoder,
    *,
    class_name: str | None,
    versions: Mapping[str, Any] | None,
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the document of a module part. Entries that are `tensors` are entered in the encoder, others encoded."""
    for key, value in entries.items():
        if key in tensors:
            encoder.add(f"{name}/{key}", value)
    others = {key: value for key, value in entries.items() if key not in tensors}
    return {
        "class": class_name,
        "order": list(entries) if others else None,
        "values": {key: encoder.encode(value, f"{name}/{key}") for key, value in others.items()},
        "versions": encoder.encode(versions and dict(versions), name),
        "left_out": list(left_out),
    }


def optimizer_document(
    name: str,
    held: Mapping[str, Any],
    groups: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    names: Mapping[Any, str],
    encoder: Encoder,
    *,
    class_name: str | None,
) -> dict[str, Any]:
    """Return the document of an optimizer part.

    `held` is its state dict, `groups` are (keys of parameters, options), `names` those of the keys' parameters.
    """
    loose = {key: fields for key, fields in held[STATE].items() if key not in names}
    rest = {key: value for key, value in held.items() if key not in (STATE, GROUPS)}
    return {
        "class": class_name,
        "groups": [
            {"params": [names[key] for key in keys], "options": encoder.encode(dict(options), f"{name}/group{at}")}
            for at, (keys, options) in enumerate(groups)
        ],
        "state": {
            names[key]: encoder.encode(fields, f"{name}/{names[key]}")
            for key, fields in held[STATE].items()
            if key in names
        },
        "loose": encoder.encode(loose, f"{name}/loose") if loose else None,
        "rest": encoder.encode(rest, f"{name}/rest") if rest else None,
    }
