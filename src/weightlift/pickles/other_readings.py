"""What other unpicklers make of a pickle that joblib has written arrays into.

A plain one takes the bytes of an array for opcodes, joblib before 1.2 begins it with what is padding now. Both
nearly always break there; a file can be made so that they do not, and do what joblib does not see.
"""

from __future__ import annotations

from ..errors import PickleError
from ..limits import Limits
from ..sources import Source
from ..typed import Any
from .inline_arrays import ARRAY
from .nodes import Global, Object
from .watching import Watched, Watching, watch_with

_GIVE_BACK = {"restore_type_tag"}  # calls that are clean and return what they are given


def watch_otherwise(source: Source, offset: int, limits: Limits) -> list[tuple[str, Watched]]:
    """Return (who reads so, what is seen) for each other reading of the pickle at `offset`."""
    plain, old = _Strict(source, offset, limits), _Strict(source, offset, limits)
    plain.arrays_are, old.arrays_are = "opcodes", "unaligned"
    return [("a plain unpickler", watch_with(plain)), ("joblib before 1.2", watch_with(old))]


def watch_plainly(source: Source, offset: int, limits: Limits) -> Watched:
    """Return what a plain unpickler does with the pickle at `offset`."""
    machine = Watching(source, offset, limits)
    machine.arrays_are = "opcodes"
    return watch_with(machine)


class _Strict(Watching):
    """Machine that breaks where an unpickler would: what follows is chance, and no call that anything makes."""

    def _check(self, fn: Any) -> None:
        root = self._root(fn)
        if root is None or (fn is not root and self._makes_plain(root)):
            raise PickleError("the call of a value", expected="a function or a class")

    def _makes_plain(self, root: Global) -> bool:
        """Whether what comes of a name is neither text nor anything to call."""
        return root == ARRAY or (id(root) in self.quiet and root.name not in _GIVE_BACK)

    def call(self, fn: Any, args: Any) -> None:
        self._check(fn)
        super().call(fn, args)

    def instantiate(self, cls: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self._check(cls)
        super().instantiate(cls, args, kwargs)

    def push_computed(self, module: Any, name: Any) -> None:
        for each in (module, name):
            root = self._root(each)
            if not isinstance(each, str) and (not isinstance(each, Object) or root is None or self._makes_plain(root)):
                raise PickleError("STACK_GLOBAL without two strings")
        super().push_computed(module, name)
