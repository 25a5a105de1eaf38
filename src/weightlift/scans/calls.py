"""A call that a pickle asks for, written as Python would write it: nested, bounded, never run.

Anything can stand in such a call, and it can contain itself or spell a million characters: what is in
it is followed by identity, so deep and no further.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from ..errors import printable, shown
from ..pickles import Blob, Global, Object
from ..pickles.nodes import NOT_BUILT
from ..typed import Any

_LONGEST = 300
_DEEPEST = 8
_MOST_ITEMS = 12


def call_text(value: Any, longest: int = _LONGEST) -> str:
    """Return a call as text: `builtins.getattr(builtins.__import__('os'), 'system')('id')`.

    What is inside of itself or too deep is told as `...`; nothing in it makes this raise.
    """
    text = printable(_Writer(longest).text(value, 0))
    return text if len(text) <= longest else text[: longest - 3] + "..."


class _Writer:
    def __init__(self, room: int) -> None:
        self.room = room
        self.open: set[int] = set()  # by id: what is being written

    def text(self, value: Any, depth: int) -> str:
        if isinstance(value, Global):
            return self._spent(f"{value.module}.{value.name}")
        if isinstance(value, Blob):
            return self._spent(f"<{len(value)} bytes>")
        if not isinstance(value, Object | dict | list | tuple | set | frozenset):
            return self._spent(shown(value, 120))
        if id(value) in self.open or depth > _DEEPEST or self.room <= 0:
            return "..."
        self.open.add(id(value))
        try:
            return self._of_parts(value, depth + 1)
        finally:
            self.open.discard(id(value))

    def _spent(self, text: str) -> str:
        self.room -= len(text) + 2
        return text

    def _of_parts(self, value: Any, depth: int) -> str:
        if isinstance(value, Object):
            return self._called(value, depth)
        if isinstance(value, dict):
            pairs = (f"{self.text(k, depth)}: {self.text(v, depth)}" for k, v in value.items())
            return f"{{{self._joined(pairs)}}}"
        ordered = sorted(value, key=_order) if isinstance(value, set | frozenset) else value  # a set varies by run
        inside = self._joined(self.text(item, depth) for item in ordered)
        if isinstance(value, tuple):
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        return f"[{inside}]" if isinstance(value, list) else f"{{{inside}}}"

    def _called(self, value: Object, depth: int) -> str:
        setting = isinstance(value.fn, Object) and value.fn.state is not NOT_BUILT and not value.kwargs
        if setting and value.args and _is_state_of(value.args[0], value.fn):
            return f"{self.text(value.fn, depth)}.__setstate__({self.text(value.args[0], depth)})"
        arguments = (self.text(item, depth) for item in value.args)
        named = (f"{name}={self.text(item, depth)}" for name, item in value.kwargs.items())
        every = self._joined(chain(arguments, named))
        return f"{self.text(value.fn, depth)}({every})"

    def _joined(self, parts: Iterable[str]) -> str:
        made: list[str] = []
        for part in parts:
            if len(made) == _MOST_ITEMS or self.room <= 0:
                made.append("...")
                break
            made.append(part)
        return ", ".join(made)


def _order(item: Any) -> tuple[str, str]:
    return type(item).__name__, shown(item, 120)


def _is_state_of(state: Any, target: object) -> bool:
    held = target.state if isinstance(target, Object) else NOT_BUILT
    return held is state or (isinstance(held, tuple) and any(part is state for part in held))
