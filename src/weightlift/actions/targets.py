"""What a plan aims at: another checkpoint, or a model that the user's own code makes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from ..errors import AmbiguousStateDictError, SourceError
from ..limits import DEFAULT_LIMITS, Limits
from ..mapping.resolve import Schema
from ..mapping.schema import headers
from ..state_dict import StateDict
from ..tensors.torch_modules import ModuleTarget, is_module
from ..typed import Any
from ..values import dataclass
from .open import open_checkpoint

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Aim:
    """Names with shapes and dtypes, which of them are one tensor, names of what is none, and where they come from."""

    schema: Schema
    ties: Sequence[tuple[str, ...]]
    extra: Sequence[str]
    told: str


def aim_at(target: str | os.PathLike[str] | Any, *, name: str | None = None, limits: Limits = DEFAULT_LIMITS) -> Aim:
    """Return what a target asks for: a live module, a state dict, a checkpoint's path, or `package.module:factory`.

    A factory is the user's own code: it is imported and called here, in this process.

    Raises:
        SourceError: no such module or factory, or it makes no torch module.
    """
    if is_module(target):
        return _of_module(target, type(target).__name__)
    if isinstance(target, Mapping):
        return _of_weights(StateDict.of(target), "a state dict")
    text = os.fspath(target)
    if _FACTORY.fullmatch(text) and not os.path.exists(text):
        if name is not None:
            raise SourceError(f"the state dict {name!r} of a factory's model", expected="a checkpoint", where=text)
        return _of_module(made_by(text), f"{text} (your code was run to make it)")
    try:
        weights = open_checkpoint(text, limits=limits).state_dict(name)
    except AmbiguousStateDictError as error:
        error.remedy = error.remedy.replace("--name", "--target-name")  # that one is of the source
        raise
    return _of_weights(weights, text)


def made_by(factory: str) -> Any:
    """Import `package.module:factory` from the current folder or the path, call it, and return the torch module.

    Raises:
        SourceError: it cannot be imported or called, or makes something else.
    """
    made = imported(factory)
    try:
        made = made if is_module(made) else made()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises is told, not passed on
        raise SourceError(f"cannot be made: {type(error).__name__}: {error}", where=factory) from None
    if not is_module(made):
        raise SourceError(f"makes a {type(made).__name__}", expected="a torch module", where=factory)
    return made


def _of_weights(weights: StateDict, told: str) -> Aim:
    schema = headers(weights)
    return Aim(schema, weights.ties, [key for key in weights if key not in schema], told)


def imported(place: str) -> Any:
    """Import what `package.module:name` names, from the current folder or the path; runs that code.

    Raises:
        SourceError: it is spelled otherwise, or cannot be imported.
    """
    if not _FACTORY.fullmatch(place):
        raise SourceError(f"{place!r} names no code", expected="package.module:name")
    module, _, attribute = place.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        raise SourceError(f"cannot be made: {type(error).__name__}: {error}", where=place) from None
    return found


def _of_module(module: Any, told: str) -> Aim:
    target = ModuleTarget(module)
    return Aim(target.schema, target.ties, target.extra, told)
