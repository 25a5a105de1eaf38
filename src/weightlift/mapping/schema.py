"""What a side of a plan has: names with shapes and types, which of them are one tensor, and a hash of it all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ..errors import PlanError
from ..state_dict import StateDict
from ..tensors.computed import Lazy
from ..tensors.from_live import lazy_values
from ..tensors.torch_modules import ModuleTarget, is_module
from ..typed import Any
from .resolve import Schema

Ties = Sequence[tuple[str, ...]]


def entries_of(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the entries of a state dict as they are, those of any other mapping as lazy tensors and plain data.

    Raises:
        PlanError: it is no mapping.
    """
    if not isinstance(values, Mapping):
        raise PlanError(
            f"weights that are a {type(values).__name__}",
            expected="a state dict or a dict of tensors",
            remedy="take wl.open(path).state_dict(), or wl.StateDict.from_module(model)",
        )
    return values if isinstance(values, StateDict) else lazy_values(values)


def schema_of(target: Any) -> tuple[Schema | None, Ties]:
    """Return (schema, ties) of a live module, a state dict, a mapping of tensors, or a schema itself.

    Raises:
        PlanError: it is none of these.
    """
    if target is None:
        return None, ()
    if is_module(target):
        module = ModuleTarget(target)
        return module.schema, module.ties
    if not isinstance(target, Mapping):
        raise PlanError(f"a plan against {type(target).__name__}", expected="a module, a state dict or a schema")
    if all(isinstance(about, tuple) for about in target.values()):
        return target, ()
    return headers(entries_of(target)), tuple(getattr(target, "ties", ()))


def headers(values: Mapping[str, Any]) -> Schema:
    """Return name -> (shape, dtype) of the entries that are plain tensors."""
    return {key: (tuple(value.shape), value.dtype) for key, value in values.items() if isinstance(value, Lazy)}


def schema_hash(schema: Schema) -> str:
    """Return "sha256:..." of the sorted names with their shapes and dtypes."""
    lines = [f"{key}\t{list(shape or ())}\t{dtype.name}\n" for key, (shape, dtype) in sorted(schema.items())]
    return f"sha256:{hashlib.sha256(''.join(lines).encode('utf-8', 'surrogatepass')).hexdigest()}"
