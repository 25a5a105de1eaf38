"""Guidance without instrumentation: which lines raised, on the way to an outcome, and whether any did before.

The tracebacks of our errors are a sample of what ran, and cost nothing. Where atheris can be installed, its edge
coverage guides instead.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from weightlift.errors import WeightliftError

_MOST = 3000
_OF_KEPT = 0.8
_FIRST = 20  # endings that every changed file soon has


class Outcomes:
    """The files that are changed further: the seeds, what lies in the corpus, and each that ended in a new way."""

    def __init__(self, seeds: list[bytes], corpus: str = "", rng: random.Random | None = None) -> None:
        self.seeds = seeds
        self.corpus = corpus
        self.kept: list[bytes] = []
        self.known: set[object] = set()
        self.places: list[object] = []
        names = sorted(os.listdir(corpus)) if corpus else []
        for name in rng.sample(names, min(len(names), _MOST)) if rng else names:
            with open(os.path.join(corpus, name), "rb") as file:
                self.kept.append(file.read())
        self._watch()

    def choose(self, rng: random.Random) -> bytes:
        """A seed, or a file that was kept."""
        return rng.choice(self.kept if self.kept and rng.random() < _OF_KEPT else self.seeds)

    @contextmanager
    def noticing(self, data: bytes) -> Iterator[None]:
        """Keep the file if errors of ours are made at new places, or in a new order, meanwhile."""
        self.places.clear()
        yield
        ending = tuple(self.places)
        if ending not in self.known:
            self.known.add(ending)
            if len(self.known) > _FIRST and len(self.kept) < 2 * _MOST:
                self.kept.append(data)
                self._store(data)

    def _store(self, data: bytes) -> None:
        if self.corpus:
            with open(os.path.join(self.corpus, hashlib.sha1(data).hexdigest()), "wb") as file:
                file.write(data)

    def _watch(self) -> None:
        """Let every error of ours tell where it was made."""
        made, places = WeightliftError.__init__, self.places

        def init(error: WeightliftError, *args: Any, **given: Any) -> None:
            caller = sys._getframe(1)
            before = caller.f_back
            places.append((caller.f_code, caller.f_lineno, before and before.f_lineno))
            made(error, *args, **given)

        WeightliftError.__init__ = init  # type: ignore[method-assign]
