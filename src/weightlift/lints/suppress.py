"""Comments that keep a finding quiet: `# noqa: WL101`, `# weightlift: ignore[WL101]`, `# weightlift: ignore-file`.

Only a real comment counts, not the same text in a string. A file's comments are looked at when something is found
on a line that may hold one.
"""

from __future__ import annotations

import io
import re
import tokenize

from ..typed import TYPE_CHECKING
from .prefilter import IGNORE_FILE

if TYPE_CHECKING:
    from .source_file import SourceFile

_NOQA = re.compile(r"#\s*noqa(?!\w)(?:\s*:\s*(?P<codes>[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*))?(?P<rest>\s*:)?", re.IGNORECASE)
_OURS = re.compile(r"#\s*weightlift:\s*ignore(?P<file>-file)?\b(?:\[(?P<codes>[^\]]*)\])?(?!-)")
_CODE = re.compile(r"[A-Z]+\d+", re.IGNORECASE)
_EVERY = ("",)
"""Codes are compared by their beginning, so that this one is every code's."""


class Suppressions:
    """Which codes are quiet, on which lines of a file."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._lines: dict[int, tuple[str, ...]] | None = None
        self._whole: tuple[str, ...] = ()
        if IGNORE_FILE in file.data:
            self._read()

    def cover(self, code: str, line: int, end_line: int) -> bool:
        """Whether a finding is kept quiet by its file, or by a comment on its first or last line."""
        if self._whole and code.startswith(self._whole):
            return True
        if self._lines is None:
            about = [self._file.lines[at - 1].lower() for at in (line, end_line)]
            if not any("noqa" in text or "weightlift:" in text for text in about):
                return False
        lines = self._read()
        codes = lines.get(line, ()) + lines.get(end_line, ())
        return bool(codes) and code.startswith(codes)

    def _read(self) -> dict[int, tuple[str, ...]]:
        if self._lines is None:
            self._lines = {}
            for line, text in _comments(self._file.data):
                for_file, codes = _meaning(text)
                if for_file:
                    self._whole += codes
                elif codes:
                    self._lines[line] = self._lines.get(line, ()) + codes
        return self._lines


def _meaning(comment: str) -> tuple[bool, tuple[str, ...]]:
    """Return whether a comment speaks for the whole file, and the codes that it keeps quiet."""
    if ours := _OURS.search(comment):
        listed = ours["codes"]
        return bool(ours["file"]), _EVERY if listed is None else _codes(listed)
    if (noqa := _NOQA.search(comment)) and (noqa["codes"] or not noqa["rest"]):
        return False, _codes(noqa["codes"]) if noqa["codes"] else _EVERY
    return False, ()


def _codes(listed: str) -> tuple[str, ...]:
    return tuple(code.upper() for code in _CODE.findall(listed))


def _comments(data: bytes) -> list[tuple[int, str]]:
    """Return the comments of a file with their lines; those before the place that `tokenize` cannot go past."""
    found: list[tuple[int, str]] = []
    try:
        tokens = tokenize.tokenize(io.BytesIO(data).readline)
        found.extend((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)
    except (tokenize.TokenError, SyntaxError):
        pass
    return found
