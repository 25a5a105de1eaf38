"""What a scan says of a file: one verdict, and the evidence for it."""

from __future__ import annotations

from collections.abc import Iterable

from ..findings import Severity
from ..typed import Literal, TypeAlias
from ..values import dataclass

Verdict: TypeAlias = Literal["clean", "unknown", "dangerous", "unreadable"]

EXIT_CODES: dict[Verdict, int] = {"clean": 0, "unknown": 1, "dangerous": 3, "unreadable": 2}

_FROM_BEST: tuple[Verdict, ...] = ("clean", "unknown", "unreadable", "dangerous")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts: dangerous, then unreadable, unknown, clean (also of none).

    >>> worst(["clean", "unreadable", "unknown"])
    'unreadable'
    """
    return max(verdicts, key=_FROM_BEST.index, default="clean")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a verdict.

    `code` is stable and made for programs, `message` is one sentence for people. `where` is the member
    and the path inside of it ("archive/data.pkl"; "" for the file itself), `offset` a byte in that
    pickle, `opcode` the name of the opcode there, `call` what a plain load would do, written as a call:
    `posix.system('echo hi')`. `advisory` is a published reference to what is misused, where there is one.
    """

    code: str
    severity: Severity
    where: str
    message: str
    offset: int | None = None
    opcode: str = ""
    call: str = ""
    advisory: str = ""


@dataclass(frozen=True, slots=True)
class Scanned:
    """One file, scanned. `format` is "" where none recognises it; `pickle_nbytes` are the bytes of its pickles."""

    path: str
    verdict: Verdict
    format: str
    evidence: tuple[Evidence, ...]
    pickles: int
    pickle_nbytes: int
