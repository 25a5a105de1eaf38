"""What a pickle's opcodes leave behind where no plain Python value stands for it.

A node is data about something that the file wanted to build. Equality is identity, as it is for the
objects these stand for, except for `Global`, which is a name.
"""

from __future__ import annotations

from ..sources import Source
from ..typed import Any, Final


class Global:
    """`module.name`: what the file would import."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    def __repr__(self) -> str:
        return f"Global({self.module!r}, {self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Global) and self.name == other.name and self.module == other.module

    def __hash__(self) -> int:
        return hash((self.module, self.name))


class _NotBuilt:
    """The state of an object for which no BUILD opcode came."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NOT_BUILT"


NOT_BUILT: Final = _NotBuilt()


class Object:
    """A call or an instance that the file asks for, and what it would be filled with.

    `fn` is what would be called or instantiated (nearly always a `Global`), `args` and `kwargs` its
    arguments. `state` is what BUILD would hand to `__setstate__` or put into `__dict__`; `items` what
    APPENDS would add to it, `pairs` what SETITEMS would.
    """

    __slots__ = ("args", "fn", "is_call", "items", "kwargs", "offset", "pairs", "state")

    def __init__(self, fn: object, args: tuple[Any, ...], *, is_call: bool, offset: int) -> None:
        self.fn = fn
        self.args = args
        self.kwargs: dict[str, Any] = {}
        self.state: Any = NOT_BUILT
        self.items: list[Any] = []
        self.pairs: dict[Any, Any] = {}
        self.is_call = is_call
        self.offset = offset

    @property
    def class_name(self) -> str:
        """The dotted name of what would be built."""
        return str(self.fn) if isinstance(self.fn, Global) else "?"

    def build(self, state: object) -> None:
        """Take the state; a second one adds to the first, as `__dict__.update` would."""
        if isinstance(self.state, dict) and isinstance(state, dict):
            self.state = {**self.state, **state}
        elif self.state is NOT_BUILT:
            self.state = state
        else:
            self.state = (self.state, state)

    @property
    def attributes(self) -> dict[Any, Any]:
        """The instance attributes that the state would set, by name; {} where it is of another kind."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2:
            # (__dict__, slots), the default of object.__reduce_ex__(2) where a class has __slots__
            first, second = state
            if (first is None or isinstance(first, dict)) and isinstance(second, dict):
                return {**(first or {}), **second}
        return state if isinstance(state, dict) else {}

    def __repr__(self) -> str:
        return f"<{self.class_name}{'()' if self.is_call else ' object'}>"


class Dict(dict[Any, Any]):
    """A dict of another class than dict: `collections.OrderedDict`, `defaultdict`, `Counter` ...

    `class_name` says which; `state` holds instance attributes, such as the `_metadata` that
    `nn.Module.state_dict` hangs on its OrderedDict.
    """

    __slots__ = ("class_name", "state")

    def __init__(self, class_name: str, pairs: Any = ()) -> None:
        if pairs:
            super().__init__(pairs)
        self.class_name = class_name
        self.state: Any = NOT_BUILT

    def build(self, state: object) -> None:
        """Take the instance attributes."""
        self.state = state

    @property
    def attributes(self) -> dict[Any, Any]:
        """The instance attributes by name."""
        return self.state if isinstance(self.state, dict) else {}


class Blob:
    """A long run of bytes in a pickle, left where it lies in the file."""

    __slots__ = ("source",)

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return self.source.size

    def __repr__(self) -> str:
        return f"<{self.source.size} bytes>"
