"""The inert pickle machine: every opcode of protocols 0 to 5, under limits, without a single import.

Follows the opcode descriptions of CPython's `pickletools`. What the real machine would import becomes
a `Global`; what it would call becomes an `Object`, or a value where the caller's table knows the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from struct import error as struct_error

from ..errors import LimitError, MalformedError, PickleError
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Source
from ..typed import Any
from ..values import dataclass
from .nodes import Global
from .opcodes import OPERATIONS
from .state import Machine, Rebuild

_STOP, _BINPUT, _LONG_BINPUT, _BINGET = b".qrh"
_U32 = Struct("<I").unpack_from


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
    return carry_out(Machine(source, offset, rebuild or {}, persistent, limits))


def carry_out(machine: Machine) -> Pickle:
    """Return the pickle that a machine was made for; see `read_pickle`."""
    source = machine.source
    try:
        value = run(machine)
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


def run(machine: Machine) -> Any:
    """Carry out opcodes until STOP and return what it leaves.

    A module of 400 MB takes 35,000 rounds of this loop, which is most of what opening it costs:
    what only an error needs (offset and name of the opcode) is worked out when there is one.
    """
    operations = OPERATIONS
    count = 0
    try:
        for count in range(machine.opcodes + 1):  # noqa: B007 - told however the loop is left
            machine.op_pos = pos = machine.pos
            try:
                machine.code = code = machine.buffer[pos]
            except IndexError:
                machine.fill(1)
                machine.op_pos = pos = machine.pos
                machine.code = code = machine.buffer[pos]
            try:  # a third of all opcodes, carried out here for want of calls
                if code == _BINPUT:
                    machine.memo[machine.buffer[pos + 1]] = machine.stack[-1]
                    machine.pos = pos + 2
                    continue
                if code == _LONG_BINPUT:
                    machine.memo[_U32(machine.buffer, pos + 1)[0]] = machine.stack[-1]
                    machine.pos = pos + 5
                    continue
                if code == _BINGET:
                    machine.stack.append(machine.memo[machine.buffer[pos + 1]])
                    machine.pos = pos + 2
                    continue
            except (IndexError, struct_error):  # the end of the buffer, or nothing on the stack
                pass
            machine.pos = pos + 1
            if code == _STOP:
                if machine.marks:
                    raise PickleError("STOP inside an open MARK")
                machine.charge(0)
                return machine.stack.pop()
            operations[code](machine)
    finally:
        machine.count = count
        machine.spent.count(count, machine.packed_nbytes)
    raise LimitError(
        f"the pickle takes more than {machine.opcodes} opcodes",
        expected="what is left for a file of this size",
        remedy="raise Limits.opcodes",
    )
