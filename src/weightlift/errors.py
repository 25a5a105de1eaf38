"""Every way that weightlift can say no, in one tree.

    WeightliftError
    ├── SourceError              the bytes cannot be had: missing, a directory, no permission, empty
    ├── UnknownFormatError       the bytes are no checkpoint: HTML, a Git LFS pointer, anything else
    ├── UnsupportedError         the kind is known and cannot be read here: encrypted, 7z, flatbuffer
    ├── UnsafeError              a policy refuses what a plain load of the file would do; carries the evidence
    ├── LimitError               a budget of `Limits` would be exceeded
    ├── MalformedError           the file contradicts itself
    │   ├── TruncatedError       it ends before its own structure does
    │   ├── ContainerError       zip, tar or header fields disagree
    │   │   ├── TwoReadingsError two readers would see two contents; says what each takes
    │   │   └── ChecksumError    bytes are not those that the container has a checksum of
    │   ├── PickleError          an opcode that cannot be carried out
    │   └── TensorError          a tensor that does not fit its storage
    ├── StateDictError           no such state dict, or a key that is not there
    │   ├── NoStateDictError
    │   └── AmbiguousStateDictError
    ├── PlanError                a plan that cannot be read, checked or carried out
    │   └── PatternError         a pattern or rule that means nothing, with its column
    ├── CollisionError           two tensors for one name
    ├── OverflowingError         a finite value that the new element type cannot hold
    ├── MissingDependencyError   an optional package is needed; names the install line
    ├── StoreError               a store of checkpoints cannot do what is asked: no such step, none that verifies
    │   └── StoreLockedError     another process, or another store of this one, writes to it
    └── WriteError               the output cannot be written

An error is one sentence: where, what was found, what was expected, what to do. Inner code raises the
fact; each outer layer adds its own place with `at`.
"""

from __future__ import annotations

from .typed import Self


class WeightliftError(Exception):
    """Base of every error; `str()` gives `where: found; expected ...; remedy`."""

    def __init__(self, found: str, *, expected: str = "", remedy: str = "", where: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.remedy = remedy
        self.where: tuple[str, ...] = (where,) if where else ()

    def at(self, place: str) -> Self:
        """Return this same error with `place` put in front of where it happened."""
        self.where = (place, *self.where)
        return self

    def __str__(self) -> str:
        parts = [self.found]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.remedy:
            parts.append(self.remedy)
        return printable(": ".join(_cut(part) for part in (*self.where, "; ".join(map(_cut, parts)))))


class SourceError(WeightliftError):
    """The bytes cannot be had."""


class UnknownFormatError(WeightliftError):
    """The content is no kind of checkpoint that is known here."""


class UnsupportedError(WeightliftError):
    """The content is of a known kind that cannot be read."""


class UnsafeError(WeightliftError):
    """A policy refuses the file. `scanned` is the verdict with its evidence, see `weightlift.scans.values`."""

    def __init__(self, found: str, *, scanned: object, remedy: str = "", where: str = "") -> None:
        super().__init__(found, remedy=remedy, where=where)
        self.scanned = scanned


class LimitError(WeightliftError):
    """A budget of `Limits` would be exceeded."""


class MalformedError(WeightliftError):
    """The file contradicts itself."""


class TruncatedError(MalformedError):
    """The file ends before its own structure does."""


class ContainerError(MalformedError):
    """Fields of the container disagree with each other or with the file."""


class TwoReadingsError(ContainerError):
    """Two readers would see two contents. `readings` says what each takes, `code` what makes them differ."""

    def __init__(
        self, found: str, *, readings: tuple[str, ...], code: str, expected: str = "", remedy: str = "", where: str = ""
    ) -> None:
        super().__init__(
            f"{found}: {'; '.join(readings)}",
            expected=expected,
            remedy=remedy or "save it again with one tool",
            where=where,
        )
        self.readings = readings
        self.code = code


class ChecksumError(ContainerError):
    """Bytes are not those that the container has a checksum of."""

    code = "checksum"


class PickleError(MalformedError):
    """A pickle opcode cannot be carried out."""


class TensorError(MalformedError):
    """A tensor's description does not fit its storage."""


class StateDictError(WeightliftError):
    """The state dict that was asked for is not to be had."""


class NoStateDictError(StateDictError):
    """The checkpoint holds no state dict, or none of that name."""


class AmbiguousStateDictError(StateDictError):
    """Several state dicts and none is plainly the weights."""


class PlanError(WeightliftError):
    """A plan that cannot be read, checked or carried out."""


class PatternError(PlanError):
    """A pattern or rule that means nothing. `column` counts from 1 within its text."""

    def __init__(self, found: str, *, expected: str = "", remedy: str = "", where: str = "", column: int = 0) -> None:
        super().__init__(found, expected=expected, remedy=remedy, where=where)
        self.column = column


class CollisionError(WeightliftError):
    """Two tensors for one name."""


class OverflowingError(WeightliftError):
    """A finite value that the new element type cannot hold."""


class MissingDependencyError(WeightliftError):
    """An optional package is needed."""


class StoreError(WeightliftError):
    """A store of checkpoints cannot do what is asked; what it holds is as it was."""


class StoreLockedError(StoreError):
    """Another process, or another store of this process, writes to the directory."""


class WriteError(WeightliftError):
    """The output cannot be written; nothing was left behind."""


_LONGEST_NAME = 300  # of what a file calls something, in a message
_LONGEST_PART = 8_000


def _cut(text: str) -> str:
    """Return a part of a message with what is far too long to be read left out of its middle."""
    if len(text) <= _LONGEST_NAME:
        return text
    text = " ".join([_without_middle(word, _LONGEST_NAME) for word in text[: 4 * _LONGEST_PART].split(" ")])
    return _without_middle(text, _LONGEST_PART)


def _without_middle(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest // 2]}...{text[-longest // 3 :]}"


def plural(count: int, noun: str, several: str = "") -> str:
    """Return the count with its noun: 1 tensor, 2 tensors."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def shown(value: object, limit: int = 80) -> str:
    """Return the first `limit` characters of a value's repr, at a cost that what a file holds cannot raise.

    Containers are followed without recursion and no further than the limit; a huge integer is told by
    its bits. Nothing that a file can hold makes this raise.
    """
    made: list[str] = []
    room = limit + 1
    waiting: list[tuple[bool, object]] = [(False, value)]
    while waiting and room > 0:
        is_text, item = waiting.pop()
        if is_text:
            text = str(item)
        elif isinstance(item, dict | list | tuple | set | frozenset):
            text, parts = _shown_container(item, room)
            waiting += reversed(parts)
        else:
            text = _shown_leaf(item, limit)
        made.append(text)
        room -= len(text)
    text = "".join(made)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def worded(value: object, limit: int = 200) -> str:
    """Return what a file uses as a name, which ought to be a string, as one."""
    return value if isinstance(value, str) else shown(value, limit)


def _shown_container(
    value: dict[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object], room: int
) -> tuple[str, list[tuple[bool, object]]]:
    """Return how a container's repr begins, and what follows: texts (True) and values, `room` of them at most."""
    if isinstance(value, set | frozenset):
        kind = "frozenset" if isinstance(value, frozenset) else ""
        begin, end = (f"{kind}({{" if kind else "{", "})" if kind else "}") if value else (f"{kind or 'set'}(", ")")
    elif isinstance(value, tuple):
        begin, end = "(", ",)" if len(value) == 1 else ")"
    else:
        begin, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    parts: list[tuple[bool, object]] = []
    for i, item in enumerate(value):
        if i > room:
            break
        if i:
            parts.append((True, ", "))
        parts.append((False, item))
        if isinstance(value, dict):
            parts += [(True, ": "), (False, value[item])]
    return begin, [*parts, (True, end)]


_LONGEST_INTEGER = 256


def _shown_leaf(value: object, limit: int) -> str:
    if isinstance(value, str | bytes | bytearray):
        return repr(value[: limit + 1])
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        return f"<an integer of {value.bit_length()} bits>"
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a message about a broken value has to come out whatever the value does
        return f"<{type(value).__name__}>"


def printable(text: str) -> str:
    """Return `text` with every control character and lone surrogate escaped, safe for a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def detach(error: BaseException) -> None:
    """Take its traceback from an error that is kept: it would keep all that was made of a file until then."""
    error.__traceback__ = error.__context__ = None
