"""Things worth telling about a file that do not stop the reading of it."""

from __future__ import annotations

from .typed import Literal
from .values import dataclass

Severity = Literal["info", "note", "warning", "danger"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a file.

    `code` is stable and made for programs, `where` is a path inside the checkpoint ("" for the
    whole), `message` is one sentence for people.
    """

    code: str
    severity: Severity
    where: str
    message: str
