"""What each opcode does to the machine, in the order of `pickletools`: one line of the table for each."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from struct import error as struct_error

from ..errors import LimitError, PickleError, TruncatedError
from ..typed import Any
from .nodes import Blob
from .state import DICT_BYTES, LIST_BYTES, SET_BYTES, Machine

_U16, _I32, _U32, _U64 = Struct("<H"), Struct("<i"), Struct("<I"), Struct("<Q")
_DOUBLE = Struct(">d")


def _integer(machine: Machine, digits: bytes, *, base: int = 10) -> int:
    if len(digits) > machine.limits.integer_bytes:
        raise LimitError(f"an integer of {len(digits)} digits", expected=f"at most {machine.limits.integer_bytes}")
    try:
        return int(digits, base)
    except ValueError:
        pass
    try:
        return int(digits, 0)  # 0x10 and its like are integers to CPython's unpickler too
    except ValueError:
        raise PickleError(f"{digits[:20]!r} is no integer") from None


def _int(m: Machine) -> None:
    line = m.take_line(m.limits.integer_bytes)
    m.stack.append({b"00": False, b"01": True}.get(line) if line in (b"00", b"01") else _integer(m, line.strip()))


def _long(m: Machine) -> None:
    line = m.take_line(m.limits.integer_bytes).strip()
    m.stack.append(_integer(m, line.removesuffix(b"L")))


def _long_of(m: Machine, nbytes: int) -> None:
    if nbytes < 0 or nbytes > m.limits.integer_bytes:
        raise LimitError(f"an integer of {nbytes} bytes", expected=f"0 to {m.limits.integer_bytes}")
    m.stack.append(int.from_bytes(m.take(nbytes), "little", signed=True))


def _string(m: Machine) -> None:
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


def _float(m: Machine) -> None:
    line = m.take_line(m.limits.integer_bytes)
    try:
        m.stack.append(float(line))
    except ValueError:
        raise PickleError(f"{line[:20]!r} is no number") from None


def _global(m: Machine) -> None:
    module, name = m.take_line(4096), m.take_line(4096)
    m.push_global(_text(module), _text(name))


def _stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    if not isinstance(module, str) or not isinstance(name, str):
        m.push_computed(module, name)
    else:
        m.push_global(module, name)


def _reduce(m: Machine) -> None:
    args = m.stack.pop()
    m.call(m.stack.pop(), args)


def _build(m: Machine) -> None:
    state = m.stack.pop()
    m.build(m.stack[-1], state)


def _inst(m: Machine) -> None:
    module, name = _text(m.take_line(4096)), _text(m.take_line(4096))
    args = tuple(m.pop_mark())
    m.push_global(module, name)
    m.instantiate(m.stack.pop(), args, {})


def _obj(m: Machine) -> None:
    items = m.pop_mark()
    m.instantiate(items[0], tuple(items[1:]), {})


def _newobj(m: Machine) -> None:
    args = m.stack.pop()
    m.instantiate(m.stack.pop(), args, {})


def _newobj_ex(m: Machine) -> None:
    kwargs, args = m.stack.pop(), m.stack.pop()
    if not isinstance(kwargs, dict):
        raise PickleError("NEWOBJ_EX without a dict of keyword arguments")
    m.instantiate(m.stack.pop(), args, kwargs)


def _persistent(m: Machine, identifier: Any) -> None:
    m.stack.append(m.load_persistent(identifier))


def _extension(m: Machine, nbytes: int) -> None:
    m.push_extension(int.from_bytes(m.take(nbytes), "little"))


def _proto(m: Machine) -> None:
    m.protocol = m.take(1)[0]
    if m.protocol > 5:
        raise PickleError(f"pickle protocol {m.protocol}", expected="0 to 5")


def _frame(m: Machine) -> None:
    nbytes = _u64(m)
    if nbytes > m.source.size - m.at:
        raise TruncatedError(f"a frame of {nbytes} bytes reaches past the end", expected="a complete file")


def _tuple(m: Machine, size: int) -> None:
    items = m.stack[-size:]
    if len(items) < size:
        raise IndexError
    m.stack[-size:] = [tuple(items)]


def _open_mark(m: Machine) -> None:
    if len(m.marks) >= m.limits.depth:
        raise LimitError(f"more than {m.limits.depth} marks are open", remedy="raise Limits.depth")
    m.marks.append(m.stack)
    m.stack = []


def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


def _list(m: Machine) -> None:
    items = m.pop_mark()
    m.stack.append(items)
    m.held += LIST_BYTES


def _dict(m: Machine) -> None:
    items = m.pop_mark()
    m.stack.append({})
    m.held += DICT_BYTES
    m.set_items(m.stack[-1], items)


def _setitem(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    m.set_items(m.stack[-1], [key, value])


def _setitems(m: Machine) -> None:
    items = m.pop_mark()
    m.set_items(m.stack[-1], items)


def _append(m: Machine) -> None:
    item = m.stack.pop()
    m.extend(m.stack[-1], [item])


def _appends(m: Machine) -> None:
    items = m.pop_mark()
    m.extend(m.stack[-1], items)


def _additems(m: Machine) -> None:
    items = m.pop_mark()
    m.add(m.stack[-1], items)


def _frozenset(m: Machine) -> None:
    items = m.pop_mark()  # first, since it is this that brings back the stack to append to
    m.check_keys(items)
    try:
        m.stack.append(frozenset(items))
        m.held += SET_BYTES
    except TypeError:
        raise PickleError("a frozenset item that cannot be hashed") from None


def _tuple_to_mark(m: Machine) -> None:
    items = m.pop_mark()
    m.stack.append(tuple(items))


# The memo takes half of all opcodes: these four read their index without another call.


def _put(m: Machine, index: int) -> None:
    m.memo[index] = m.stack[-1]


def _binput(m: Machine) -> None:
    pos = m.pos
    try:
        m.memo[m.buffer[pos]] = m.stack[-1]
    except IndexError:  # the end of the buffer, or nothing on the stack
        m.memo[_u8(m)] = m.stack[-1]
    else:
        m.pos = pos + 1


def _long_binput(m: Machine) -> None:
    pos = m.pos
    try:
        m.memo[_U32.unpack_from(m.buffer, pos)[0]] = m.stack[-1]
    except struct_error:
        m.memo[_u32(m)] = m.stack[-1]
    else:
        m.pos = pos + 4


def _binget(m: Machine) -> None:
    pos = m.pos
    try:
        index = m.buffer[pos]
    except IndexError:
        index = _u8(m)
    else:
        m.pos = pos + 1
    m.stack.append(m.memo[index])


def _long_binget(m: Machine) -> None:
    m.stack.append(m.memo[_u32(m)])


def _next_buffer(m: Machine) -> None:
    raise PickleError("NEXT_BUFFER: the data lies outside the pickle", expected="a file that holds its own data")


def _unknown(m: Machine) -> None:
    raise PickleError(f"byte {m.code:#04x} is no pickle opcode", expected="an intact pickle")


def _u8(m: Machine) -> int:
    try:
        value = m.buffer[m.pos]
    except IndexError:
        return m.take(1)[0]
    m.pos += 1
    return value


def _u32(m: Machine) -> int:
    try:
        value: int = _U32.unpack_from(m.buffer, m.pos)[0]
    except struct_error:  # it lies across the end of the buffer
        return int(_U32.unpack(m.take(4))[0])
    m.pos += 4
    return value


def _u64(m: Machine) -> int:
    return int(_U64.unpack(m.take(8))[0])


def _i32(m: Machine) -> int:
    return int(_I32.unpack(m.take(4))[0])


def _bytearray(data: bytes | Blob) -> bytearray | Blob:
    return bytearray(data) if isinstance(data, bytes) else data


def _length(m: Machine) -> int:
    nbytes = _i32(m)
    if nbytes < 0:
        raise PickleError(f"a string of {nbytes} bytes")
    return nbytes


_BY_OPCODE: dict[bytes, Callable[[Machine], object]] = {
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
    b"p": lambda m: _put(m, _integer(m, m.take_line(m.limits.integer_bytes))),
    b"q": _binput,
    b"r": _long_binput,
    b"\x94": lambda m: _put(m, len(m.memo)),
    b"g": lambda m: m.stack.append(m.memo[_integer(m, m.take_line(m.limits.integer_bytes))]),
    b"h": _binget,
    b"j": _long_binget,
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
    b"\x95": _frame,
}

OPERATIONS = [_BY_OPCODE.get(bytes((code,)), _unknown) for code in range(256)]


def is_opcode(code: int) -> bool:
    """Whether a byte is a pickle opcode of any protocol."""
    return OPERATIONS[code] is not _unknown


NAMES: list[str] = ["?"] * 256
"""Name of each opcode, as `pickletools` has it."""
for _name, _codes in {
    "GLOBAL": b"c", "STACK_GLOBAL": b"\x93", "REDUCE": b"R", "BUILD": b"b", "INST": b"i", "OBJ": b"o",
    "NEWOBJ": b"\x81", "NEWOBJ_EX": b"\x92", "EXT1": b"\x82", "EXT2": b"\x83", "EXT4": b"\x84", "PERSID": b"P",
    "BINPERSID": b"Q", "SETITEM": b"s", "SETITEMS": b"u", "APPEND": b"a", "APPENDS": b"e", "ADDITEMS": b"\x90",
    "STOP": b".", "MARK": b"(", "POP": b"0", "POP_MARK": b"1", "DUP": b"2", "NONE": b"N", "TUPLE": b"t", "PUT": b"p",
    "BINPUT": b"q", "LONG_BINPUT": b"r", "MEMOIZE": b"\x94", "GET": b"g", "BINGET": b"h", "LONG_BINGET": b"j",
    "PROTO": b"\x80", "FRAME": b"\x95", "DICT": b"d", "LIST": b"l", "FROZENSET": b"\x91", "NEXT_BUFFER": b"\x97",
}.items():  # fmt: skip
    NAMES[_codes[0]] = _name
