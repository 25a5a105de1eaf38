"""What a scenario is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """A save to crash: what is there before it, the save, and what its users would read afterwards.

    `read` returns a digest of what it finds, None where it finds nothing and that is no error, or raises.
    A save that consists of several may `mark("promised")` after each; after the last that is done for it.
    `again` is the next save, of a run that was started anew after the crash.
    """

    title: str
    before: Callable[[str], None]
    save: Callable[[str], None]
    read: Callable[[str], str | None]
    needs: tuple[str, ...] = ()  # modules
    again: Callable[[str], None] | None = None


def digest(values: Mapping[str, bytes]) -> str:
    """Return one text for named bytes: equal only if all are."""
    total = hashlib.blake2b(digest_size=16)
    for name in sorted(values):
        total.update(f"{name}\0{len(values[name])}\0".encode())
        total.update(values[name])
    return total.hexdigest()
