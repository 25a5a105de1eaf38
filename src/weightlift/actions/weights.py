"""What a caller gives as weights: a path, a state dict, a dict of tensors or a live module."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..limits import Limits
from ..state_dict import StateDict
from ..tensors.torch_modules import is_module
from ..typed import Any
from .open import open_checkpoint


def state_dict_of(source: str | os.PathLike[str] | Mapping[str, Any], name: str | None, limits: Limits) -> StateDict:
    """Return the state dict that is given, or made of a mapping or a live module, or read from a checkpoint."""
    if isinstance(source, StateDict):
        return source
    if isinstance(source, Mapping):
        return StateDict.of(source)
    if is_module(source):
        return StateDict.from_module(source)
    return open_checkpoint(source, limits=limits).state_dict(name)
