"""Every way that weightlift can say no, in one tree.

    WeightliftError
    ├── SourceError              the bytes cannot be had: missing, a directory, no permission, empty
    ├── UnknownFormatError       the bytes are no checkpoint: HTML, a Git LFS pointer, anything else
    ├── UnsupportedError         the kind is known and cannot be read here: encrypted, 7z, flatbuffer
    ├── LimitError               a budget of `Limits` would be exceeded
    ├── MalformedError           the file contradicts itself
    │   ├── TruncatedError       it ends before its own structure does
    │   ├── ContainerError       zip, tar or header fields disagree
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
        return printable(": ".join((*self.where, "; ".join(parts))))


class SourceError(WeightliftError):
    """The bytes cannot be had."""


class UnknownFormatError(WeightliftError):
    """The content is no kind of checkpoint that is known here."""


class UnsupportedError(WeightliftError):
    """The content is of a known kind that cannot be read."""


class LimitError(WeightliftError):
    """A budget of `Limits` would be exceeded."""


class MalformedError(WeightliftError):
    """The file contradicts itself."""


class TruncatedError(MalformedError):
    """The file ends before its own structure does."""


class ContainerError(MalformedError):
    """Fields of the container disagree with each other or with the file."""


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


class WriteError(WeightliftError):
    """The output cannot be written; nothing was left behind."""


def printable(text: str) -> str:
    """Return `text` with every control character and lone surrogate escaped, safe for a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
