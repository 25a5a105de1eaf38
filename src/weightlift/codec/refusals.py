"""What cannot be written without running code, and what to do instead."""

from __future__ import annotations

from ..errors import UnsupportedError, plural, shown
from ..typed import Any
from ..values import dataclass

_TOLD = 20
"""Refusals that one error names."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A value that cannot be written: where, what it is, and the remedy."""

    place: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place} {self.found}" + (f" ({self.remedy})" if self.remedy else "")


# class -> what its instances are, the remedy; the first base that is named here says it
_KNOWN = {
    **dict.fromkeys(
        ("builtins.function", "builtins.builtin_function_or_method", "builtins.method", "functools.partial"),
        ("a function", "save its name, and look that up on resume"),
    ),
    "builtins.type": ("a class", "save its name, and look that up on resume"),
    **dict.fromkeys(
        ("builtins.generator", "builtins.coroutine", "builtins.async_generator", "collections.abc.Iterator"),
        ("a generator", "save how far it has come"),
    ),
    "builtins.module": ("a module", "save its name"),
    "_io._IOBase": ("an open file", "save its path and position"),
    **dict.fromkeys(
        ("_thread.lock", "_thread.RLock", "threading.Condition", "threading.Event", "threading.Thread"),
        ("a lock or thread", "leave it out and make a new one on resume"),
    ),
    "random.Random": ("a random generator", "save its getstate()"),
    "numpy.random._generator.Generator": ("a random generator", "save its bit_generator.state"),
    "numpy.random.bit_generator.BitGenerator": ("a random generator", "save its state"),
    "numpy.random.mtrand.RandomState": ("a random generator", "save its get_state()"),
    "torch._C.Generator": ("a random generator", "save its get_state(), or give it as a part of its own"),
    "torch.nn.modules.module.Module": ("a module of torch", "give it as a part of its own, as the model is"),
    "torch.storage.UntypedStorage": ("a storage", "save a tensor of it"),
    "torch.storage.TypedStorage": ("a storage", "save a tensor of it"),
    "numpy.ndarray": ("a subclass of an array", "save numpy.asarray(...) of it"),
    "datetime.datetime": ("a subclass of datetime", "save it as datetime.datetime"),
    "builtins.memoryview": ("a view of memory", "save bytes(...) of it"),
}
_PLAIN = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)


def refusal_of(value: Any) -> tuple[str, str]:
    """Return what a value is that no kind is for, and the remedy. Runs nothing of the value's own."""
    cls = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}"
    for base in cls.__mro__:
        known = _KNOWN.get(f"{base.__module__}.{base.__qualname__}")
        if known is not None:
            what, remedy = known
            told = _called(value) if what in ("a function", "a class") else name
            return f"is {what}: {told}", remedy
    if any("state_dict" in vars(base) for base in cls.__mro__):
        return f"is an object of {name}", "give it as a part of its own, or save its state_dict()"
    plain = next((base for base in cls.__mro__ if base in _PLAIN), None)
    if plain is not None:
        return f"is of {name}, a subclass of {plain.__name__}", f"save {plain.__name__}(...) of it"
    if any("__next__" in vars(base) for base in cls.__mro__):
        return f"is an iterator: {name}", "save how far it has come"
    return f"is an object of {name}", "make its class a dataclass, save its fields as a dict, or leave it out"


def _called(value: Any) -> str:
    """The name of a function or class, without its address, which is another each time."""
    name = getattr(value, "__qualname__", None)
    return shown(name, 60)[1:-1] if isinstance(name, str) else type(value).__qualname__


def check(refusals: list[Refusal]) -> None:
    """Say all refusals at once.

    Raises:
        UnsupportedError: there are any; names the first twenty, each with its path and remedy.
    """
    if not refusals:
        return
    told = "; ".join(map(str, refusals[:_TOLD]))
    more = f"; and {len(refusals) - _TOLD:,} more" if len(refusals) > _TOLD else ""
    raise UnsupportedError(f"{plural(len(refusals), 'value')} cannot be saved without pickle: {told}{more}")
