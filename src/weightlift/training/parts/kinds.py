"""The table of kinds. The first that recognises a part reads it."""

from __future__ import annotations

from importlib import import_module

from ...errors import MalformedError, shown
from ...typed import Any
from .base import Kind

# One line per kind: a module here with a `KIND`.
LIVE = ("rng", "module", "optimizer", "generator", "stateful")
KINDS = (*LIVE, "several", "value")
_PLAIN = (str, bytes, int, float, complex, type(None))


def kind_of(name: str, part: Any) -> Kind:
    """Return the kind of a live part."""
    return next(kind for kind in map(_kind, KINDS) if kind.recognises(name, part))


def is_live(name: str, part: Any) -> bool:
    """Return whether a part is one live object. What it may hold is not looked at: that may be much, or itself."""
    if type(part) in _PLAIN:
        return False
    return any(_kind(kind).recognises(name, part) for kind in LIVE)


def kind_named(kind: Any, where: str) -> Kind:
    """Return the kind that a document names.

    Raises:
        MalformedError: it names none.
    """
    if kind not in KINDS:
        raise MalformedError(f"a part of kind {shown(kind, 40)}", expected=f"one of {', '.join(KINDS)}", where=where)
    return _kind(kind)


def _kind(name: str) -> Kind:
    kind: Kind = import_module(f".{name}", __package__).KIND
    return kind
