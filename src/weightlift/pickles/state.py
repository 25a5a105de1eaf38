"""The pickle machine's stack, memo and marks, and its window on the bytes. Nothing is imported or called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..errors import LimitError, MalformedError, PickleError, TruncatedError
from ..limits import Limits, Spent
from ..sources import Source
from ..typed import Any, TypeAlias
from .nodes import NOT_BUILT, Blob, Global, Object

Rebuild: TypeAlias = Callable[..., Any]
"""Turns the arguments of a known call into a value; may raise any `MalformedError`."""

_CHUNK = 1 << 16
_LONG_BYTES = 1 << 16  # from here on bytes stay in the file
_KEY_DEPTH = 100  # of tuples and frozensets in a key: Python hashes them by recursion
_KEY_PARTS = 10_000  # in one key, shared parts counted as often as they are hashed
_ALL_KEY_PARTS = 10_000_000  # in all keys of a pickle that are tuples or frozensets

# What things take in memory, in bytes, charged where a few bytes of a pickle can ask for many of them.
LIST_BYTES, DICT_BYTES, SET_BYTES, OBJECT_BYTES, SLOT_BYTES = 56, 64, 216, 280, 8
_MEMO_BYTES = 90
# Opcodes of one byte that make something, charged for as the bytes come in, wherever they stand: their own code
# stays as quick as it was, and in texts and numbers these bytes are too rare to matter beside `_PER_BYTE`.
_CHARGED = ((b"R\x8f", 256), (b"]}t\x85\x86\x87", 56))
_OTHERS = tuple((bytes(set(range(256)).difference(codes)), taken) for codes, taken in _CHARGED)
_PER_BYTE = 32  # a pickled module takes 25 times its bytes, by this count
# calls that copy nothing of what they are given, while that is so many arguments at most
_PLAIN_CALLS = {("torch._utils", "_rebuild_tensor_v2"): 7, ("torch._utils", "_rebuild_parameter"): 3}
_COSTLY_CALLS = {("torch.storage", "_load_from_bytes"): 6144}  # each blob is identified and opened


def key_parts(key: Any) -> int:
    """Return how many values hashing a key (or an item of a set) has to visit.

    Raises:
        LimitError: more, or nested deeper, than hashing can stand.
    """
    if not isinstance(key, tuple | frozenset):
        return 1
    count = 0
    waiting: list[tuple[Any, int]] = [(key, 1)]
    while waiting:
        value, depth = waiting.pop()
        count += 1 + len(value)
        if depth > _KEY_DEPTH:
            raise LimitError(f"tuples nested deeper than {_KEY_DEPTH} as a key or an item of a set")
        if count > _KEY_PARTS:
            raise LimitError(f"more than {_KEY_PARTS} values in one key or item of a set")
        waiting += [(item, depth + 1) for item in value if isinstance(item, tuple | frozenset)]
    return count


def check_keys(keys: Iterable[Any], left: int = _ALL_KEY_PARTS) -> int:
    """Refuse keys that cannot be hashed at a reasonable cost; return what is left of how much they may hold.

    Raises:
        LimitError: a key that nests or holds too much, or too many such keys.
    """
    for key in keys:
        if isinstance(key, tuple | frozenset):
            left -= key_parts(key)
            if left < 0:
                raise LimitError(f"keys and items of sets that hold more than {_ALL_KEY_PARTS} values")
    return left


def copying_cost(value: Any) -> int:
    """Return what a copy of a value takes: of a container, with the keys that are hashed for it."""
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if not isinstance(value, list | tuple | dict | set | frozenset):
        return 0
    keys = [pair[0] if isinstance(pair, list | tuple) and pair else pair for pair in value]
    return (
        SLOT_BYTES * len(value) + sum(key_parts(key) for key in keys if isinstance(key, tuple | frozenset)) * SLOT_BYTES
    )


class Machine:
    """Stack, memo and marks of one pickle, and a window on its bytes."""

    __slots__ = (
        "buffer",
        "buffer_at",
        "code",
        "count",
        "globals",
        "held",
        "held_limit",
        "key_parts_left",
        "known",
        "limits",
        "marks",
        "memo",
        "op_pos",
        "opcodes",
        "packed_nbytes",
        "per_byte",
        "persistent",
        "plain_calls",
        "pos",
        "protocol",
        "rebuild",
        "source",
        "spent",
        "stack",
        "stand_ins",
        "start",
        "text_left",
    )

    def __init__(
        self, source: Source, at: int, rebuild: Mapping[Global, Rebuild], persistent: Rebuild | None, limits: Limits
    ) -> None:
        self.source = source
        self.rebuild = rebuild
        self.persistent = persistent
        self.limits = limits
        self.start = at
        density = source.density
        self.per_byte = _PER_BYTE * density
        self.held = 0  # bytes that the values take, estimated
        self.held_limit = limits.memory_bytes + int(self.per_byte * _CHUNK)
        self.packed_nbytes = density * source.size if density < 1 else None
        self.spent = limits.spent or Spent(limits.opcodes, source.size)
        self.opcodes = min(limits.opcodes, self.spent.opcodes_left(self.packed_nbytes))
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[Global, int] = {}
        self.known: dict[tuple[str, str], Global] = {}
        self.stand_ins: dict[int, Rebuild] = {}  # by id of a global in `known`: quicker than by its name
        self.plain_calls: dict[int, int] = {}
        self.key_parts_left = _ALL_KEY_PARTS
        self.count = 0
        self.protocol = 0
        self.text_left = limits.text_bytes
        if density < 1:
            self.text_left = min(self.text_left, limits.memory_bytes + int(self.per_byte * source.size))
        self.buffer = b""
        self.buffer_at = at  # where in the source the buffer begins
        self.pos = 0  # in the buffer
        self.op_pos = 0  # the current opcode's, negative once the buffer has moved on
        self.code = 0

    @property
    def at(self) -> int:
        """Offset of the next byte in the source."""
        return self.buffer_at + self.pos

    @property
    def op_at(self) -> int:
        """Offset of the current opcode in the source."""
        return self.buffer_at + self.op_pos

    def highest_memo(self) -> int:
        """Return the highest index in the memo; 0 of one that is itself as large as it may be."""
        return max(self.memo, default=0) if len(self.memo) < self.limits.memo else 0

    # ---- bytes ----

    def fill(self, nbytes: int) -> None:
        """Make at least `nbytes` bytes available at the position."""
        at, read = self.at, self.buffer_at + len(self.buffer)
        data = self.source.read_up_to(at, max(nbytes, _CHUNK))
        if len(data) < nbytes:
            raise TruncatedError("the pickle ends without STOP", expected="a complete file", remedy="fetch it again")
        self._move_buffer(data, at)
        new = data[max(0, read - at) :]
        for others, taken in _OTHERS:
            self.held += taken * len(new.translate(None, others))
        self.held_limit = self.limits.memory_bytes + int(self.per_byte * (at + len(data) - self.start))
        self._check_budgets()

    def _move_buffer(self, data: bytes, at: int) -> None:
        self.op_pos -= at - self.buffer_at
        self.buffer, self.buffer_at, self.pos = data, at, 0

    def take(self, nbytes: int) -> bytes:
        """Return the next `nbytes` bytes; callers check long ones against the limits first."""
        pos = self.pos
        data = self.buffer[pos : pos + nbytes]
        if len(data) < nbytes:
            self.fill(nbytes)
            pos, data = 0, self.buffer[:nbytes]
        self.pos = pos + nbytes
        return data

    def take_text(self, nbytes: int) -> bytes:
        """Like `take`, charged against the budget for text."""
        if nbytes > self.source.size - self.at:
            raise TruncatedError(f"a string of {nbytes} bytes reaches past the end", expected="a complete file")
        self.text_left -= nbytes
        if self.text_left < 0:
            raise LimitError(f"strings of more than {self.limits.text_bytes} bytes", remedy="raise Limits.text_bytes")
        return self.take(nbytes)

    def take_bytes(self, nbytes: int) -> bytes | Blob:
        """Return bytes, or where they lie when they are many."""
        if nbytes < _LONG_BYTES:
            return self.take_text(nbytes)
        at = self.at
        blob = Blob(self.source.window(at, nbytes))
        self._move_buffer(b"", at + nbytes)
        return blob

    def take_line(self, longest: int) -> bytes:
        """Return the bytes up to a newline, which is skipped."""
        end = self.buffer.find(b"\n", self.pos)
        step = _CHUNK
        while end < 0:
            have = len(self.buffer) - self.pos
            if have > longest:
                raise LimitError(f"a line of more than {longest} bytes")
            if self.at + have >= self.source.size:
                raise TruncatedError("a line without its end", expected="a complete file")
            step *= 2
            self.fill(min(have + step, self.source.size - self.at))
            end = self.buffer.find(b"\n", self.pos + have)
        if end - self.pos > longest:
            raise LimitError(f"a line of more than {longest} bytes")
        line = self.buffer[self.pos : end]
        self.pos = end + 1
        self.text_left -= len(line)
        if self.text_left < 0:
            raise LimitError(f"strings of more than {self.limits.text_bytes} bytes", remedy="raise Limits.text_bytes")
        return line

    # ---- stack ----

    def pop_mark(self) -> list[Any]:
        """Close the innermost mark and return what was pushed since."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def _check_budgets(self) -> None:
        """Hold memo, memory and time against their budgets; they grow by a buffer's worth between two fillings."""
        if len(self.memo) > self.limits.memo:
            raise LimitError(f"a memo of more than {self.limits.memo} entries", remedy="raise Limits.memo")
        self.limits.check_time()
        self.charge(0)

    def charge(self, nbytes: int) -> None:
        """Add to what the values take, and hold it against its budget."""
        self.held += nbytes
        if self.held + _MEMO_BYTES * len(self.memo) + SLOT_BYTES * len(self.stack) > self.held_limit:
            raise LimitError(
                f"values that would take more than {self.held_limit >> 20} MiB",
                expected="what a pickle of this size may hold",
                remedy="raise Limits.memory_bytes",
            )

    def push_global(self, module: str, name: str) -> None:
        """Push a name; the same one for the same, listed with its first offset."""
        named = self.known.get((module, name))
        if named is None:
            named = self.known[module, name] = Global(module, name)
            self.globals[named] = self.op_at
            self.spent.names.add((module, name))
            if len(self.spent.names) > self.limits.globals:
                raise LimitError(f"more than {self.limits.globals} names to import", remedy="raise Limits.globals")
            if named in self.rebuild:
                self.stand_ins[id(named)] = self.rebuild[named]
                self.plain_calls[id(named)] = _PLAIN_CALLS.get((module, name), 0)
        self.stack.append(named)

    def load_persistent(self, identifier: Any) -> Any:
        """Return what stands for something outside of the pickle: a storage, where the caller knows them."""
        if self.persistent is not None:
            return self.persistent(identifier)
        return Object(Global("pickle", "persistent_load"), (identifier,), is_call=True, offset=self.op_at)

    def push_extension(self, code: int) -> None:
        """Push what a code of the extension registry stands for, which only the loading process knows."""
        self.push_global("copyreg", f"extension {code}")

    def push_computed(self, module: Any, name: Any) -> None:
        """Refuse a name that is no string, which only code of the file could make one."""
        kinds = f"{type(module).__name__} and {type(name).__name__}"
        raise PickleError(f"STACK_GLOBAL without two strings: {kinds}", expected="a module and a name")

    def build(self, target: Any, state: Any) -> None:
        """Give an object its state."""
        build = getattr(target, "build", None)
        if build is None:
            raise PickleError(f"BUILD on a {type(target).__name__}", expected="an object")
        if getattr(target, "state", NOT_BUILT) is not NOT_BUILT:  # a second state is merged into a copy
            self.charge(copying_cost(target.state) + copying_cost(state))
        build(state)

    def _charge_call(self, fn: Any, args: tuple[Any, ...]) -> None:
        """Charge a known call for the copies that it makes: one list can be handed to a million of them."""
        own = _COSTLY_CALLS.get((fn.module, fn.name), 0)
        if own and isinstance(args[0], Blob | bytes | bytearray):  # what is opened is gone through each time
            own += 2 * len(args[0])
        self.charge(own + sum([copying_cost(each) for each in args]))

    def call(self, fn: Any, args: Any) -> None:
        """Push what calling `fn` would give: a value where the table knows it, else an inert object."""
        if not isinstance(args, tuple):
            raise PickleError(f"the arguments of a call are of type {type(args).__name__}", expected="a tuple")
        rebuild = self.stand_ins.get(id(fn))
        if rebuild is None:
            self.stack.append(Object(fn, args, is_call=True, offset=self.op_at))
            return
        if args and len(args) > self.plain_calls[id(fn)]:
            self._charge_call(fn, args)
        try:
            self.stack.append(rebuild(*args))
        except (TypeError, OverflowError) as error:
            raise PickleError(f"{fn} cannot take the arguments it is given ({error})") from None
        except MalformedError as error:
            error.at(str(fn))
            raise

    def instantiate(self, cls: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Push a new instance of `cls`; classes in the table are rebuilt like calls."""
        if not isinstance(args, tuple):
            raise PickleError(f"the arguments of a class are of type {type(args).__name__}", expected="a tuple")
        if not kwargs and id(cls) in self.stand_ins:
            self.call(cls, args)
            return
        self.held += OBJECT_BYTES
        made = Object(cls, args, is_call=False, offset=self.op_at)
        made.kwargs = kwargs
        self.stack.append(made)

    def check_keys(self, keys: list[Any]) -> None:
        """Refuse keys and set items that cannot be hashed at a reasonable cost, one by one or together."""
        self.key_parts_left = check_keys(keys, self.key_parts_left)

    def set_items(self, target: Any, flat: list[Any]) -> None:
        """Set keys and values, one after the other in `flat`, on a dict or an inert object."""
        if len(flat) % 2:
            raise PickleError("a key without a value")
        if isinstance(target, Object):
            target = target.pairs
        elif not isinstance(target, dict):
            raise PickleError(f"items are set on a {type(target).__name__}", expected="a dict")
        self.check_keys(flat[::2])
        try:
            target.update(zip(flat[::2], flat[1::2], strict=True))
        except TypeError:
            raise PickleError("a key that cannot be hashed", expected="strings, numbers or tuples as keys") from None

    def extend(self, target: Any, items: list[Any]) -> None:
        """Append to a list or an inert object."""
        if isinstance(target, Object):
            target = target.items
        elif isinstance(target, set):
            return self.add(target, items)
        elif not isinstance(target, list):
            raise PickleError(f"items are appended to a {type(target).__name__}", expected="a list")
        target.extend(items)
        return None

    def add(self, target: Any, items: list[Any]) -> None:
        """Add to a set or an inert object."""
        if isinstance(target, Object):
            target.items.extend(items)
            return
        if not isinstance(target, set):
            raise PickleError(f"items are added to a {type(target).__name__}", expected="a set")
        self.check_keys(items)
        try:
            target.update(items)
        except TypeError:
            raise PickleError("a set item that cannot be hashed") from None
