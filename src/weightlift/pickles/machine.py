"""The inert pickle machine: every opcode of protocols 0 to 5, under limits, without a single import.

Follows the opcode descriptions of CPython's `pickletools`. What the real machine would import becomes
a `Global`; what it would call becomes an `Object`, or a value where the caller's table knows the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error
from typing import Any, TypeAlias

from ..errors import LimitError, MalformedError, PickleError, TruncatedError
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Source
from .nodes import Blob, Global, Object

Rebuild: TypeAlias = Callable[..., Any]
"""Turns the arguments of a known call into a value; may raise any `MalformedError`."""

_CHUNK = 1 << 16
_LONG_BYTES = 1 << 16  # from here on bytes stay in the file
_MARK = object()
_U16, _I32, _U32, _U64 = Struct("<H"), Struct("<i"), Struct("<I"), Struct("<Q")
_DOUBLE = Struct(">d")
_STOP = ord(".")


@dataclass(frozen=True, slots=True)
class Pickle:
    """One pickle, read: its value, where it ended, and the globals it names with their first offset."""

    value: Any
    end: int
    globals: dict[Global, int]
    opcodes: int
    protocol: int


def read_pickle(
    source: Source,
    offset: int = 0,
    *,
    rebuild: Mapping[Global, Rebuild] | None = None,
    persistent: Rebuild | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Pickle:
    """Return the value of the pickle that starts at `offset`, as inert data.

    `rebuild` maps a global to what stands in for calling it; `persistent` stands in for persistent
    ids. Long byte strings are not read but left in place as `Blob`.

    Raises:
        PickleError: an opcode that cannot be carried out. TruncatedError: no STOP before the end.
        LimitError: a budget of `limits` is used up.
    """
    machine = _Machine(source, offset, rebuild or {}, persistent, limits)
    try:
        value = machine.run()
    except (MalformedError, LimitError) as error:
        error.at(f"{source.name} at byte {machine.op_at}")
        raise
    except (IndexError, KeyError):
        raise PickleError(
            f"opcode {bytes((machine.code,))!r} finds too little on the stack or in the memo",
            expected="a complete pickle",
            where=f"{source.name} at byte {machine.op_at}",
        ) from None
    return Pickle(value, machine.at, machine.globals, machine.count, machine.protocol)


class _Machine:
    """Stack, memo and marks of one pickle, and a window on its bytes."""

    def __init__(
        self, source: Source, at: int, rebuild: Mapping[Global, Rebuild], persistent: Rebuild | None, limits: Limits
    ) -> None:
        self.source = source
        self.rebuild = rebuild
        self.persistent = persistent
        self.limits = limits
        self.memo_limit = limits.memo
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[Global, int] = {}
        self.known: dict[tuple[str, str], Global] = {}
        self.stand_ins: dict[int, Rebuild] = {}  # by id of a global in `known`: quicker than by its name
        self.count = 0
        self.protocol = 0
        self.text_left = limits.text_bytes
        self.buffer = b""
        self.buffer_at = at  # where in the source the buffer begins
        self.pos = 0  # in the buffer
        self.op_pos = 0  # the current opcode's, negative once the buffer has moved on
        self.code = 0

    @property
    def at(self) -> int:
        return self.buffer_at + self.pos

    @property
    def op_at(self) -> int:
        return self.buffer_at + self.op_pos

    def run(self) -> Any:
        """Carry out opcodes until STOP and return what it leaves.

        A module of 400 MB takes 35,000 rounds of this loop, which is most of what opening it costs:
        what only an error needs (offset and name of the opcode) is worked out when there is one.
        """
        operations = _OPERATIONS
        for count in range(self.limits.opcodes + 1):
            self.op_pos = pos = self.pos
            try:
                self.code = code = self.buffer[pos]
            except IndexError:
                self._fill(1)
                self.op_pos = pos = self.pos
                self.code = code = self.buffer[pos]
            self.pos = pos + 1
            if code == _STOP:
                if self.marks:
                    raise PickleError("STOP inside an open MARK")
                self.count = count
                return self.stack.pop()
            operations[code](self)
        limit = self.limits.opcodes
        raise LimitError(f"the pickle takes more than {limit} opcodes", remedy="raise Limits.opcodes")

    # ---- bytes ----

    def _fill(self, nbytes: int) -> None:
        """Make at least `nbytes` bytes available at the position."""
        at = self.at
        data = self.source.read_up_to(at, max(nbytes, _CHUNK))
        if len(data) < nbytes:
            raise TruncatedError("the pickle ends without STOP", expected="a complete file", remedy="fetch it again")
        self._move_buffer(data, at)

    def _move_buffer(self, data: bytes, at: int) -> None:
        self.op_pos -= at - self.buffer_at
        self.buffer, self.buffer_at, self.pos = data, at, 0

    def take(self, nbytes: int) -> bytes:
        """Return the next `nbytes` bytes; callers check long ones against the limits first."""
        pos = self.pos
        data = self.buffer[pos : pos + nbytes]
        if len(data) < nbytes:
            self._fill(nbytes)
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
            self._fill(min(have + step, self.source.size - self.at))
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
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]
        if len(self.memo) > self.memo_limit:
            raise LimitError(f"a memo of more than {self.memo_limit} entries", remedy="raise Limits.memo")

    def push_global(self, module: str, name: str) -> None:
        named = self.known.get((module, name))
        if named is None:
            named = self.known[module, name] = Global(module, name)
            self.globals[named] = self.op_at
            if named in self.rebuild:
                self.stand_ins[id(named)] = self.rebuild[named]
        self.stack.append(named)

    def call(self, fn: Any, args: Any) -> None:
        """Push what calling `fn` would give: a value where the table knows it, else an inert object."""
        if not isinstance(args, tuple):
            raise PickleError(f"the arguments of a call are of type {type(args).__name__}", expected="a tuple")
        rebuild = self.stand_ins.get(id(fn))
        if rebuild is None:
            self.stack.append(Object(fn, args, is_call=True, offset=self.op_at))
            return
        try:
            self.stack.append(rebuild(*args))
        except TypeError as error:
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
        made = Object(cls, args, is_call=False, offset=self.op_at)
        made.kwargs = kwargs
        self.stack.append(made)

    def set_items(self, target: Any, flat: list[Any]) -> None:
        if len(flat) % 2:
            raise PickleError("a key without a value")
        if isinstance(target, Object):
            target = target.pairs
        elif not isinstance(target, dict):
            raise PickleError(f"items are set on a {type(target).__name__}", expected="a dict")
        try:
            target.update(zip(flat[::2], flat[1::2], strict=True))
        except TypeError:
            raise PickleError("a key that cannot be hashed", expected="strings, numbers or tuples as keys") from None

    def extend(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Object):
            target = target.items
        elif isinstance(target, set):
            return self.add(target, items)
        elif not isinstance(target, list):
            raise PickleError(f"items are appended to a {type(target).__name__}", expected="a list")
        target.extend(items)
        return None

    def add(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Object):
            target.items.extend(items)
            return
        if not isinstance(target, set):
            raise PickleError(f"items are added to a {type(target).__name__}", expected="a set")
        try:
            target.update(items)
        except TypeError:
            raise PickleError("a set item that cannot be hashed") from None


# ---- the opcodes, in the order of pickletools ----


def _integer(machine: _Machine, digits: bytes, *, base: int = 10) -> int:
    if len(digits) > machine.limits.integer_bytes:
        raise LimitError(f"an integer of {len(digits)} digits", expected=f"at most {machine.limits.integer_bytes}")
    try:
        return int(digits, base)
    except ValueError:
        raise PickleError(f"{digits[:20]!r} is no integer") from None


def _int(m: _Machine) -> None:
    line = m.take_line(m.limits.integer_bytes)
    m.stack.append({b"00": False, b"01": True}.get(line) if line in (b"00", b"01") else _integer(m, line.strip()))


def _long(m: _Machine) -> None:
    line = m.take_line(m.limits.integer_bytes).strip()
    m.stack.append(_integer(m, line.removesuffix(b"L")))


def _long_of(m: _Machine, nbytes: int) -> None:
    if nbytes < 0 or nbytes > m.limits.integer_bytes:
        raise LimitError(f"an integer of {nbytes} bytes", expected=f"0 to {m.limits.integer_bytes}")
    m.stack.append(int.from_bytes(m.take(nbytes), "little", signed=True))


def _string(m: _Machine) -> None:
    line = m.take_line(m.limits.text_bytes).strip()
    if len(line) < 2 or line[:1] not in b"'\"" or line[-1:] != line[:1]:
        raise PickleError("a STRING without quotes")
    import codecs

    try:
        m.stack.append(_python2_text(codecs.escape_decode(line[1:-1])[0]))
    except ValueError:
        raise PickleError("a STRING with a broken escape") from None


def _python2_text(data: bytes) -> str | bytes:
    """A Python 2 `str` is text or bytes; only what is valid UTF-8 can have been text."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _text(data: bytes, encoding: str = "utf-8") -> str:
    try:
        return data.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise PickleError(f"a string that is not {encoding} ({error.reason})") from None


def _float(m: _Machine) -> None:
    line = m.take_line(m.limits.integer_bytes)
    try:
        m.stack.append(float(line))
    except ValueError:
        raise PickleError(f"{line[:20]!r} is no number") from None


def _global(m: _Machine) -> None:
    module, name = m.take_line(4096), m.take_line(4096)
    m.push_global(_text(module), _text(name))


def _stack_global(m: _Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    if not isinstance(module, str) or not isinstance(name, str):
        raise PickleError("STACK_GLOBAL without two strings", expected="a module and a name")
    m.push_global(module, name)


def _reduce(m: _Machine) -> None:
    args = m.stack.pop()
    m.call(m.stack.pop(), args)


def _build(m: _Machine) -> None:
    state, target = m.stack.pop(), m.stack[-1]
    build = getattr(target, "build", None)
    if build is None:
        raise PickleError(f"BUILD on a {type(target).__name__}", expected="an object")
    build(state)


def _inst(m: _Machine) -> None:
    module, name = _text(m.take_line(4096)), _text(m.take_line(4096))
    args = tuple(m.pop_mark())
    m.push_global(module, name)
    m.instantiate(m.stack.pop(), args, {})


def _obj(m: _Machine) -> None:
    cls, *args = m.pop_mark()
    m.instantiate(cls, tuple(args), {})


def _newobj(m: _Machine) -> None:
    args = m.stack.pop()
    m.instantiate(m.stack.pop(), args, {})


def _newobj_ex(m: _Machine) -> None:
    kwargs, args = m.stack.pop(), m.stack.pop()
    if not isinstance(kwargs, dict):
        raise PickleError("NEWOBJ_EX without a dict of keyword arguments")
    m.instantiate(m.stack.pop(), args, kwargs)


def _persistent(m: _Machine, identifier: Any) -> None:
    if m.persistent is None:
        m.stack.append(Object(Global("pickle", "persistent_load"), (identifier,), is_call=True, offset=m.op_at))
    else:
        m.stack.append(m.persistent(identifier))


def _extension(m: _Machine, nbytes: int) -> None:
    m.push_global("copyreg", f"extension {int.from_bytes(m.take(nbytes), 'little')}")


def _proto(m: _Machine) -> None:
    m.protocol = m.take(1)[0]
    if m.protocol > 5:
        raise PickleError(f"pickle protocol {m.protocol}", expected="0 to 5")


def _tuple(m: _Machine, size: int) -> None:
    items = m.stack[-size:]
    if len(items) < size:
        raise IndexError
    m.stack[-size:] = [tuple(items)]


def _open_mark(m: _Machine) -> None:
    if len(m.marks) >= m.limits.depth:
        raise LimitError(f"more than {m.limits.depth} marks are open", remedy="raise Limits.depth")
    m.marks.append(m.stack)
    m.stack = []


def _pop(m: _Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


def _list(m: _Machine) -> None:
    items = m.pop_mark()
    m.stack.append(items)


def _dict(m: _Machine) -> None:
    items = m.pop_mark()
    m.stack.append({})
    m.set_items(m.stack[-1], items)


def _setitem(m: _Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    m.set_items(m.stack[-1], [key, value])


def _setitems(m: _Machine) -> None:
    items = m.pop_mark()
    m.set_items(m.stack[-1], items)


def _append(m: _Machine) -> None:
    item = m.stack.pop()
    m.extend(m.stack[-1], [item])


def _appends(m: _Machine) -> None:
    items = m.pop_mark()
    m.extend(m.stack[-1], items)


def _additems(m: _Machine) -> None:
    items = m.pop_mark()
    m.add(m.stack[-1], items)


def _frozenset(m: _Machine) -> None:
    items = m.pop_mark()  # first, since it is this that brings back the stack to append to
    try:
        m.stack.append(frozenset(items))
    except TypeError:
        raise PickleError("a frozenset item that cannot be hashed") from None


def _tuple_to_mark(m: _Machine) -> None:
    items = m.pop_mark()
    m.stack.append(tuple(items))


def _next_buffer(m: _Machine) -> None:
    raise PickleError("NEXT_BUFFER: the data lies outside the pickle", expected="a file that holds its own data")


def _unknown(m: _Machine) -> None:
    raise PickleError(f"byte {m.code:#04x} is no pickle opcode", expected="an intact pickle")


def _u8(m: _Machine) -> int:
    try:
        value = m.buffer[m.pos]
    except IndexError:
        return m.take(1)[0]
    m.pos += 1
    return value


def _u32(m: _Machine) -> int:
    try:
        value: int = _U32.unpack_from(m.buffer, m.pos)[0]
    except struct_error:  # it lies across the end of the buffer
        return int(_U32.unpack(m.take(4))[0])
    m.pos += 4
    return value


def _u64(m: _Machine) -> int:
    return int(_U64.unpack(m.take(8))[0])


def _i32(m: _Machine) -> int:
    return int(_I32.unpack(m.take(4))[0])


def _bytearray(data: bytes | Blob) -> bytearray | Blob:
    return bytearray(data) if isinstance(data, bytes) else data


def _length(m: _Machine) -> int:
    nbytes = _i32(m)
    if nbytes < 0:
        raise PickleError(f"a string of {nbytes} bytes")
    return nbytes


_BY_OPCODE: dict[bytes, Callable[[_Machine], object]] = {
    b"(": _open_mark,
    b"0": _pop,
    b"1": lambda m: m.pop_mark(),
    b"2": lambda m: m.stack.append(m.stack[-1]),
    b"N": lambda m: m.stack.append(None),
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"I": _int,
    b"L": _long,
    b"F": _float,
    b"J": lambda m: m.stack.append(_i32(m)),
    b"K": lambda m: m.stack.append(_u8(m)),
    b"M": lambda m: m.stack.append(_U16.unpack(m.take(2))[0]),
    b"G": lambda m: m.stack.append(_DOUBLE.unpack(m.take(8))[0]),
    b"\x8a": lambda m: _long_of(m, _u8(m)),
    b"\x8b": lambda m: _long_of(m, _i32(m)),
    b"S": _string,
    b"T": lambda m: m.stack.append(_python2_text(m.take_text(_length(m)))),
    b"U": lambda m: m.stack.append(_python2_text(m.take_text(_u8(m)))),
    b"V": lambda m: m.stack.append(_text(m.take_line(m.limits.text_bytes), "raw-unicode-escape")),
    b"X": lambda m: m.stack.append(_text(m.take_text(_u32(m)))),
    b"\x8c": lambda m: m.stack.append(_text(m.take_text(_u8(m)))),
    b"\x8d": lambda m: m.stack.append(_text(m.take_text(_u64(m)))),
    b"B": lambda m: m.stack.append(m.take_bytes(_u32(m))),
    b"C": lambda m: m.stack.append(m.take_text(_u8(m))),
    b"\x8e": lambda m: m.stack.append(m.take_bytes(_u64(m))),
    b"\x96": lambda m: m.stack.append(_bytearray(m.take_bytes(_u64(m)))),
    b"\x97": _next_buffer,
    b"\x98": lambda m: None,
    b")": lambda m: m.stack.append(()),
    b"t": _tuple_to_mark,
    b"\x85": lambda m: _tuple(m, 1),
    b"\x86": lambda m: _tuple(m, 2),
    b"\x87": lambda m: _tuple(m, 3),
    b"]": lambda m: m.stack.append([]),
    b"l": _list,
    b"a": _append,
    b"e": _appends,
    b"}": lambda m: m.stack.append({}),
    b"d": _dict,
    b"s": _setitem,
    b"u": _setitems,
    b"\x8f": lambda m: m.stack.append(set()),
    b"\x90": _additems,
    b"\x91": _frozenset,
    b"p": lambda m: m.remember(_integer(m, m.take_line(m.limits.integer_bytes))),
    b"q": lambda m: m.remember(_u8(m)),
    b"r": lambda m: m.remember(_u32(m)),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"g": lambda m: m.stack.append(m.memo[_integer(m, m.take_line(m.limits.integer_bytes))]),
    b"h": lambda m: m.stack.append(m.memo[_u8(m)]),
    b"j": lambda m: m.stack.append(m.memo[_u32(m)]),
    b"c": _global,
    b"\x93": _stack_global,
    b"\x82": lambda m: _extension(m, 1),
    b"\x83": lambda m: _extension(m, 2),
    b"\x84": lambda m: _extension(m, 4),
    b"R": _reduce,
    b"b": _build,
    b"i": _inst,
    b"o": _obj,
    b"\x81": _newobj,
    b"\x92": _newobj_ex,
    b"P": lambda m: _persistent(m, _text(m.take_line(m.limits.integer_bytes))),
    b"Q": lambda m: _persistent(m, m.stack.pop()),
    b"\x80": _proto,
    b"\x95": lambda m: m.take(8),
}

_OPERATIONS = [_BY_OPCODE.get(bytes((code,)), _unknown) for code in range(256)]
