"""One line on the terminal while bytes move; nothing when nobody is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from ...errors import printable

_EVERY_SECONDS = 0.2


@contextmanager
def progress_line(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield what a writer calls with (bytes done, bytes in all); None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    shown = monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = monotonic()
        if now - shown >= _EVERY_SECONDS and total:
            shown = now
            sys.stderr.write(f"\r\x1b[K{printable(title)}: {done / total:.0%}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
