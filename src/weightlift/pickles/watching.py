"""A pickle machine that remembers what a plain load would import and call, and goes on where it can.

What stands in the pickle counts, not what it makes: nothing is rebuilt but bytes, so that a broken
tensor does not hide the call after it. Only names that the table does not call clean are recorded, so
that an ordinary state dict costs what reading it costs.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import MalformedError, WeightliftError, detach
from ..limits import Limits
from ..sources import Source
from ..typed import Any
from ..values import dataclass, replace
from .inline_arrays import WRAPPER, end_of_array, holds_objects
from .known_globals import Verdict, verdict_of
from .machine import run
from .nodes import Blob, Global, Object
from .opcodes import NAMES
from .python_values import PYTHON_VALUES
from .state import Machine, Rebuild

_MOST_SIGHTS = 10_000
_MOST_THROUGH = 100
_LOADER = Global("torch.storage", "_load_from_bytes")
_THROUGH = {  # clean calls that call their first argument: name -> where the arguments for it are
    "_reconstructor": 3,
    "__newobj__": 1,
    "_rebuild_from_type_v2": 2,
    "_rebuild_from_type": 2,
    "_rebuild_wrapper_subclass": 1,
}
_STATE_AT = {"_rebuild_from_type_v2": 3, "_rebuild_parameter_with_state": 3}  # of calls that set attributes
_ASKED_FOR = ("__setstate__", "append", "extend", "add")  # what an unpickler calls of an object, looked up on it
_COMPUTED = "<computed>"


@dataclass(frozen=True, slots=True)
class Sight:
    """Something that a plain load would do: at which byte, by which opcode, to what.

    `kind` is "import", "call", "state" (BUILD: `__setstate__` or attributes), "items" (set, appended or
    added), "attribute" (set where an unpickler would call it), "extension" (a code of copyreg) or "computed" (a
    name that is put together while loading).
    `made` is the node of the call, `named` the global at the root of it.
    """

    kind: str
    verdict: Verdict
    offset: int
    opcode: str
    named: Global
    made: Any = None


@dataclass(frozen=True, slots=True)
class Watched:
    """One pickle, watched to its end or to its first error.

    `end` is the offset behind STOP, or where it broke; `error` says how it broke. `ids` are the keys of
    the storages that it refers to, `blobs` the long byte strings in it, `loads` what it hands to
    `torch.storage._load_from_bytes`, which unpickles it. `arrays` counts those that joblib wrote between
    opcodes; `spans` is where these and the blobs lie.
    """

    start: int
    end: int
    sights: list[Sight]
    error: WeightliftError | None
    ids: list[Any]
    blobs: list[Blob]
    loads: list[Any]
    opcodes: int
    globals: dict[Global, int]
    highest_memo: int
    arrays: int
    spans: list[tuple[int, int]]


def watch_pickle(source: Source, offset: int, limits: Limits) -> Watched:
    """Return what is seen in the pickle at `offset`. Raises for nothing that a pickle can hold."""
    machine = Watching(source, offset, limits)
    error: WeightliftError | None = None
    try:
        run(machine)
        end = machine.at
    except WeightliftError as broken:
        error, end = broken, machine.op_at
    except (IndexError, KeyError, RecursionError, TypeError, ValueError, OverflowError) as broken:
        said = f"{NAMES[machine.code]} finds too little on the stack or in the memo ({type(broken).__name__})"
        error, end = MalformedError(said), machine.op_at
    if error is not None:
        detach(error)
    return machine.watched(end, error)


class Watching(Machine):
    """Machine whose unclean globals, and what is done with them, are remembered."""

    def __init__(
        self,
        source: Source,
        at: int,
        limits: Limits,
        rebuild: Mapping[Global, Rebuild] | None = None,
        persistent: Rebuild | None = None,
    ) -> None:
        super().__init__(source, at, _BYTES if rebuild is None else rebuild, persistent, limits)
        self.sights: list[Sight] = []
        self.unclean: dict[int, Verdict] = {}  # by id of a global in `known`
        self.quiet: set[int] = set()  # the same of those that are clean whatever they are called with
        self.called: set[int] = set()
        self.first: dict[int, tuple[int, str]] = {}
        self.ids: list[Any] = []
        self.blobs: list[Blob] = []
        self.loads: list[Any] = []
        self.arrays = 0
        self.spans: list[tuple[int, int]] = []

    def _see(self, kind: str, verdict: Verdict, named: Global, made: Any = None) -> None:
        if len(self.sights) < _MOST_SIGHTS or verdict == "dangerous":
            self.sights.append(Sight(kind, verdict, self.op_at, NAMES[self.code], named, made))

    def settled(self) -> list[Sight]:
        """Return everything that was seen, imports that are never called among them, in order."""
        imports = [
            Sight("import", self.unclean[key], at, opcode, named)
            for named in self.globals
            for key in [id(self.known[named.module, named.name])]
            if key in self.first and key not in self.called
            for at, opcode in [self.first[key]]
        ]
        return sorted(self.sights + imports, key=lambda sight: sight.offset)

    def watched(self, end: int, error: WeightliftError | None) -> Watched:
        """Return what was seen until the end, or the error."""
        return Watched(
            self.start,
            end,
            self.settled(),
            error,
            self.ids,
            self.blobs,
            self.loads,
            self.count,
            self.globals,
            self.highest_memo(),
            self.arrays,
            self.spans,
        )

    # ---- what the machine does ----

    def load_persistent(self, identifier: Any) -> Any:
        """Remember the id of what lies outside."""
        if len(self.ids) < self.limits.members:
            self.ids.append(identifier)
        return super().load_persistent(identifier)

    def push_global(self, module: str, name: str) -> None:
        """Remember a name that the table does not call clean."""
        known = len(self.known)
        super().push_global(module, name)
        if len(self.known) == known:
            return
        named = self.stack[-1]
        verdict = verdict_of(named)
        if verdict != "clean" and named != _LOADER:
            self.unclean[id(named)] = verdict
            self.first[id(named)] = self.op_at, NAMES[self.code]
        elif named.name not in (*_THROUGH, *_STATE_AT, "_load_type") and named != _LOADER:
            self.quiet.add(id(named))

    def push_extension(self, code: int) -> None:
        """Remember a code of the extension registry."""
        super().push_extension(code)
        self.called.add(id(self.stack[-1]))  # it is told as an extension, not as an import
        self._see("extension", "unknown", self.stack[-1])

    def push_computed(self, module: Any, name: Any) -> None:
        """Remember a name that is put together while loading."""
        made = Object(Global("builtins", "__import__"), (module, name), is_call=True, offset=self.op_at)
        self._see("computed", "dangerous", Global(_COMPUTED, _COMPUTED), made)
        self.stack.append(made)

    def _root(self, fn: Any) -> Global | None:
        """The global that a callable comes from: itself, or that of the call that made it."""
        for _ in range(100):
            if isinstance(fn, Global):
                return fn
            if not isinstance(fn, Object):
                return None
            fn = fn.fn
        return None

    def _judge(self, kind: str, fn: Any, made: Any) -> None:
        verdict = self.unclean.get(id(fn))
        if verdict is None and isinstance(fn, Global):
            return  # clean
        root = self._root(fn)
        if verdict is None:  # the result of a call, or a value, is called
            verdict = (self.unclean.get(id(root)) if root is not None else None) or "unknown"
        if isinstance(fn, Global):
            self.called.add(id(fn))
        self._see(kind, verdict, root or Global(_COMPUTED, _COMPUTED), made)

    def call(self, fn: Any, args: Any) -> None:
        """Remember the call of anything that is not clean."""
        if id(fn) in self.quiet and isinstance(args, tuple):
            super().call(fn, args)
            return
        if not isinstance(args, tuple):  # what is called on is not known; the name of it is
            args = (args,)
        self._load(fn, args)
        super().call(fn, args)
        self._judge("call", fn, self.stack[-1])
        if isinstance(fn, Global) and fn.name == "_load_type" and args and isinstance(args[0], str):
            named = Global("types", args[0])  # dill looks it up there, or among the builtins
            if verdict_of(named) == "dangerous":
                self._see("call", "dangerous", named, self.stack[-1])
        if isinstance(fn, Global) and fn.name in _STATE_AT:
            self._attributes(args[_STATE_AT[fn.name] :])
        self._call_through(fn, args)

    def _call_through(self, fn: Any, args: tuple[Any, ...]) -> None:
        """Judge what a clean call calls in its turn."""
        for _ in range(_MOST_THROUGH):
            if not (isinstance(fn, Global) and fn.name in _THROUGH and args):
                return
            given = args[_THROUGH[fn.name] :]
            if fn.name.startswith("_rebuild_from_type"):
                given = given[0] if given and isinstance(given[0], tuple) else given
            fn, args = args[0], given
            if id(fn) not in self.quiet:
                made = Object(fn, args, is_call=True, offset=self.op_at)
                if fn == _LOADER:
                    self._load(fn, args)
                    self._see("call", "unknown", fn, made)
                elif isinstance(fn, Object) or id(fn) in self.unclean:
                    self._judge("call", fn, made)
        self._see("call", "unknown", Global(_COMPUTED, _COMPUTED))

    def _load(self, fn: Any, args: tuple[Any, ...]) -> None:
        """Remember what is handed to torch to be unpickled."""
        if fn == _LOADER:
            self.loads.append((args[0] if args else None, self.op_at))

    def _attributes(self, states: tuple[Any, ...]) -> None:
        """Remember an attribute that the unpickler will call: it looks for `append` and the like on the object."""
        for state in states:
            if isinstance(state, tuple):
                self._attributes(tuple(part for part in state if isinstance(part, dict)))
            elif isinstance(state, dict):
                for name in _ASKED_FOR:
                    value = state.get(name)
                    if isinstance(value, Global | Object) and id(value) not in self.quiet:
                        root = self._root(value) or Global(_COMPUTED, _COMPUTED)
                        self._see("attribute", self.unclean.get(id(root), "unknown"), root, value)

    def instantiate(self, cls: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Remember an instance of anything that is not clean."""
        if not isinstance(args, tuple):
            args = (args,)
        self._load(cls, args)
        super().instantiate(cls, args, kwargs)
        made = self.stack[-1]
        if isinstance(made, Object) and made.fn is cls:
            self._judge("call", cls, made)

    def build(self, target: Any, state: Any) -> None:
        """Take a state; one of something that is no object of a known class is remembered."""
        if isinstance(target, Global):
            self.called.add(id(target))
            verdict = self.unclean.get(id(target), "unknown")
            made = Object(target, (state,), is_call=True, offset=self.op_at)
            self._see("state", "dangerous" if verdict == "dangerous" else "unknown", target, made)
            return
        self._attributes((state,))
        if isinstance(target, Object):
            super().build(target, state)
            if target.fn == WRAPPER:
                self.pass_over_array(state)
            if isinstance(target.fn, Global) and id(target.fn) in self.unclean:
                setting = Object(target, (state,), is_call=True, offset=self.op_at)
                self._see("state", self.unclean[id(target.fn)], target.fn, setting)

    def pass_over_array(self, state: Any) -> None:
        """Go on behind an array that joblib wrote here, watching the pickle that one of objects is."""
        if holds_objects(state):
            inner = watch_pickle(self.source, self.at, replace(self.limits, opcodes=self.limits.opcodes // 2))
            self.sights += inner.sights
            if inner.error is not None:
                raise inner.error
            end = inner.end
        else:
            end = end_of_array(self.source, self.at, state)
        self.arrays += 1
        self.spans.append((self.at, end))
        self._move_buffer(b"", end)

    def set_items(self, target: Any, flat: list[Any]) -> None:
        """Set items, and remember it of what is no container."""
        if isinstance(target, Object | dict) and not len(flat) % 2:
            super().set_items(target, flat)
        else:
            self._change(target, flat)

    def extend(self, target: Any, items: list[Any]) -> None:
        """Append items, and remember it of what is no container."""
        if isinstance(target, Object | list | set):
            super().extend(target, items)
        else:
            self._change(target, items)

    def add(self, target: Any, items: list[Any]) -> None:
        """Add items, and remember it of what is no container."""
        if isinstance(target, Object | set):
            super().add(target, items)
        else:
            self._change(target, items)

    def _change(self, target: Any, items: list[Any]) -> None:
        """Items go into something that is no container: a module's own list or dict, for instance."""
        if isinstance(target, Global):
            self.called.add(id(target))
            made = Object(target, tuple(items), is_call=True, offset=self.op_at)
            self._see("items", self.unclean.get(id(target), "unknown"), target, made)
        elif isinstance(target, bytearray):  # its bytes are not those that were looked at
            self._see("items", "unknown", Global("builtins", "bytearray"), tuple(items))

    def take_bytes(self, nbytes: int) -> bytes | Blob:
        """Remember where long bytes lie."""
        data = super().take_bytes(nbytes)
        if isinstance(data, Blob):
            self.blobs.append(data)
            self.spans.append((self.at - nbytes, self.at))
        return data


def _bytes_table() -> dict[Global, Rebuild]:
    """What makes bytes: pickles may lie in them, and a call is told better with what it is given."""
    names = {("_codecs", "encode"): "encode"}
    for module in ("builtins", "__builtin__"):
        names |= {(module, name): name for name in ("bytes", "bytearray")}
    return {Global(*key): PYTHON_VALUES[name] for key, name in names.items()}


_BYTES = _bytes_table()
