"""Frozen, slotted values and cached properties: for type checkers those of Python, and quicker to import.

`dataclasses` imports `inspect` and compiles code for every class that it makes: with our twenty, one and
a half times what starting Python takes, before the first byte of a file is read. Here nothing is
compiled. `dataclasses.fields`, `asdict`, `replace` and pretty-printers work on these classes as well.
`functools` imports `collections` and takes as long as a dozen of our modules.
"""

from __future__ import annotations

from collections.abc import Callable

from .typed import TYPE_CHECKING, Any

__all__ = ["cached_property", "dataclass", "field", "replace"]

_REQUIRED: Any = object()


class _Factory:
    """The default of a field that every instance gets its own of."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def _field(*, default_factory: Callable[[], Any]) -> Any:
    return _Factory(default_factory)


def _value_class(
    *,
    frozen: bool = False,
    slots: bool = True,  # noqa: ARG001 - as they all are; `dataclass` has to be told
    eq: bool = True,
) -> Callable[[type], type]:
    """Return the decorator that makes a class with these annotations a slotted value. No inheritance."""

    def decorate(cls: type) -> type:
        body = {name: item for name, item in vars(cls).items() if name not in ("__dict__", "__weakref__")}
        names = tuple(cls.__annotations__)
        defaults = tuple(body.pop(name, _REQUIRED) for name in names)
        methods = _methods(names, frozen=frozen, eq=eq)
        body = methods | body | {"__slots__": names, "__match_args__": names}
        body["__qualname__"] = cls.__qualname__
        made = type(cls.__name__, cls.__bases__, body)
        made.__init__ = _init(made, names, defaults)  # type: ignore[misc]
        for lazy in ("__dataclass_fields__", "__dataclass_params__"):
            setattr(made, lazy, _AsDataclass(lazy, names, defaults))
        return made

    return decorate


def _init(made: type, names: tuple[str, ...], defaults: tuple[Any, ...]) -> Callable[..., None]:
    setters = [getattr(made, name).__set__ for name in names]  # past the __setattr__ of a frozen class
    places = {name: i for i, name in enumerate(names)}
    made_anew = [i for i, default in enumerate(defaults) if type(default) is _Factory]
    required = max([i + 1 for i, default in enumerate(defaults) if default is _REQUIRED], default=0)
    settled = max(required, *(i + 1 for i in made_anew), 0)  # with so many arguments, plain defaults are what is left

    def complete(args: tuple[Any, ...], more: dict[str, Any]) -> list[Any]:
        values = [*args, *defaults[len(args) :]]
        for name, value in more.items():
            if places.get(name, -1) < len(args):
                raise TypeError(f"{made.__name__}() has no argument {name!r}, or is given it twice")
            values[places[name]] = value
        for name, value in zip(names, values, strict=False):
            if value is _REQUIRED:
                raise TypeError(f"{made.__name__}() is missing its argument {name!r}")
        if len(values) > len(names):
            raise TypeError(f"{made.__name__}() takes {len(names)} arguments and is given {len(values)}")
        return values

    def __init__(self: Any, *args: Any, **more: Any) -> None:  # noqa: N807
        plain = not more and required <= len(args) <= len(names)
        values = [*args, *defaults[len(args) :]] if plain else complete(args, more)
        if more or len(args) < settled:
            for i in made_anew:
                if type(values[i]) is _Factory:
                    values[i] = values[i].make()
        for put, value in zip(setters, values):  # noqa: B905 - as many as there are
            put(self, value)

    return __init__


def _methods(names: tuple[str, ...], *, frozen: bool, eq: bool) -> dict[str, Any]:
    """Return what `dataclass` would add to a class with these fields."""

    def values(self: Any) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in names])

    def refuse(self: Any, name: str, *_: Any) -> None:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be changed; make a new one with replace()")

    def replaced(self: Any, /, **changes: Any) -> Any:
        kept = [changes.pop(name) if name in changes else getattr(self, name) for name in names]
        return type(self)(*kept, **changes)  # what is left is no field, and refused there

    methods: dict[str, Any] = {
        "__repr__": lambda self: (
            f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"
        ),
        "__reduce__": lambda self: (type(self), values(self)),
        "__replace__": replaced,
    }
    if eq:
        methods["__eq__"] = lambda self, other: (
            values(self) == values(other) if type(other) is type(self) else NotImplemented
        )
        methods["__hash__"] = (lambda self: hash(values(self))) if frozen else None
    if frozen:
        methods |= {"__setattr__": refuse, "__delattr__": refuse}
    return methods


class _AsDataclass:
    """What the functions of `dataclasses` look for on a class, made when the first of them looks."""

    def __init__(self, attribute: str, names: tuple[str, ...], defaults: tuple[Any, ...]) -> None:
        self.attribute = attribute
        self.names = names
        self.defaults = defaults

    def __get__(self, instance: object, owner: type) -> Any:
        from dataclasses import field, make_dataclass

        fields: list[Any] = []
        for name, default in zip(self.names, self.defaults, strict=True):
            if default is _REQUIRED:
                fields.append((name, owner.__annotations__[name]))
            else:
                given = field(default_factory=default.make) if type(default) is _Factory else field(default=default)
                fields.append((name, owner.__annotations__[name], given))
        made = getattr(make_dataclass(owner.__name__, fields), self.attribute)
        setattr(owner, self.attribute, made)
        return made


def _replace(value: Any, /, **changes: Any) -> Any:
    return value.__replace__(**changes)


class _CachedProperty:
    """A property that is worked out when it is first asked for, and then an attribute of the instance."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make
        self.name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        made = instance.__dict__[self.name] = self.make(instance)
        return made


if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
    from functools import cached_property
else:
    dataclass, field, replace = _value_class, _field, _replace
    cached_property = _CachedProperty
