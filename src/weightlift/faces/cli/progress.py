"""One line on the terminal while bytes move; nothing when nobody is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

from ...errors import printable

_EVERY_SECONDS = 0.2


class progress_line:  # noqa: N801 - used as a function is: `with progress_line("scanning") as progress:`
    """Gives what a writer calls with (bytes done, bytes in all); None where stderr is no terminal."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.shown = monotonic()
        self.is_watched = sys.stderr.isatty()

    def __enter__(self) -> Callable[[int, int], None] | None:
        return self._show if self.is_watched else None

    def _show(self, done: int, total: int) -> None:
        now = monotonic()
        if now - self.shown >= _EVERY_SECONDS and total:
            self.shown = now
            sys.stderr.write(f"\r\x1b[K{printable(self.title)}: {done / total:.0%}")
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self.is_watched:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
