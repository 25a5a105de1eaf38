"""The directory of a store, changed only by the process that holds its lock, and only where it is ours.

What is no checkpoint of ours is never renamed, replaced or removed; it is mentioned once.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress

from ..errors import StoreError, WeightliftError, WriteError, printable, shown
from ..writers.directory import remove_directory
from ..writers.flushing import flush_folder
from ..writers.leftovers import clear_leftovers
from ..writers.manifest import PINNED
from ..writers.target import make_ancestors, refuse_in_the_way
from .listing import Contents, Lister, StoredStep, leftover_of, set_aside, shown_name, step_name, stranger
from .lock import DirectoryLock


class StoreFolder:
    """Where a store is, the right to write there, and what was decided on the way (`notes`)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        if not isinstance(given, str) or not given or "\0" in given:
            raise StoreError(f"{shown(path)} is no directory", expected="where the checkpoints go")
        self.path = os.path.abspath(given)  # the process may change its directory while it trains
        if os.path.lexists(self.path) and not os.path.isdir(self.path):
            raise StoreError("is no directory", expected="one, or nothing", where=self.path)
        self.notes: list[str] = []
        self._once: set[str] = set()
        self._lister = Lister(self.path)
        self._lock = DirectoryLock(self.path)

    def say(self, note: str, *, once: bool = False) -> None:
        """Add a note and log it as a warning; with `once`, only the first of these words."""
        if once and note in self._once:
            return
        self._once.add(note)
        self.notes.append(note)
        logging.getLogger("weightlift").warning("%s: %s", self.path, printable(note))

    def read(self) -> Contents:
        """Return what is there now. Reads names and manifests."""
        return self._lister.read()

    def take(self, *, make: bool = False) -> None:
        """Take the lock, and clear what crashes left behind; with `make` the directory is made, for good.

        Raises:
            StoreLockedError: another process, or another store of this one, writes here.
            StoreError, WriteError: the directory cannot be written to.
        """
        if make and not os.path.isdir(self.path):
            refuse_in_the_way(self.path)
            try:
                make_ancestors(self.path, [])
            except OSError as error:
                raise WriteError(f"cannot be made: {error.strerror}", where=self.path) from None
        if self._lock.take():
            self._clear()
            for name, why in self.read().strangers.items():
                self.say(f"{name}: {why}; left alone", once=True)

    def release(self) -> None:
        """Let others write here."""
        self._lock.release()

    def _clear(self) -> None:
        """Finish what crashes cut off: those whose replacement was get their name back, half written ones go."""
        try:
            left = [name for name in os.listdir(self.path) if leftover_of(name)]
            for name in left:
                back = os.path.join(self.path, shown_name(name))
                if shown_name(name) != name and not os.path.lexists(back) and not stranger(self._at(name)):
                    os.rename(self._at(name), back)
                    flush_folder(self.path)
            contents = self.read()
            doubtful = {step_name(stored.step) for stored in contents.steps if stored.problem} | {*contents.strangers}
            for owner in {leftover_of(name) for name in left} - doubtful:  # it may be all that is left of the step
                clear_leftovers(self.path, owner)
        except OSError as error:
            self.say(f"what was left behind by a crash cannot be cleared: {error.strerror}")

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name)

    def place_for(self, step: int) -> str:
        """Return where a checkpoint goes.

        Raises:
            StoreError: what is there is none of ours, or pinned.
        """
        place = self._at(step_name(step))
        if why := stranger(place):
            raise StoreError(f"{why} has its name", remedy="move it away", where=place)
        if os.path.lexists(os.path.join(place, PINNED)):
            raise StoreError("is pinned", remedy=f"unpin({step}) lets it be replaced", where=place)
        return place

    def remove(self, stored: StoredStep) -> bool:
        """Remove a checkpoint; where it cannot be, say so and return False."""
        if os.path.lexists(os.path.join(stored.path, PINNED)) or stranger(stored.path):
            return False
        try:
            remove_directory(stored.path)
        except WeightliftError as error:
            self.say(f"step {stored.step} is no longer kept, but {error}")
            return False
        return True

    def set_aside(self, stored: StoredStep, why: str) -> None:
        """Rename a broken checkpoint, all bytes kept, so that no step finds it again. Says why, and where it is."""
        place = set_aside(stored.path)
        try:
            os.rename(stored.path, place)
            flush_folder(self.path)
        except OSError as error:
            self.say(f"step {stored.step} is broken: {why}; it cannot be set aside: {error.strerror}")
            return
        self.say(f"step {stored.step} is broken: {why}; set aside as {os.path.basename(place)}")

    def pin(self, stored: StoredStep, *, pin: bool) -> None:
        """Put the mark into a checkpoint that keeps it, or take it out; durable.

        Raises:
            WriteError: it cannot be.
        """
        mark = os.path.join(stored.path, PINNED)
        try:
            if pin:
                os.close(os.open(mark, os.O_WRONLY | os.O_CREAT, 0o666))
            else:
                with suppress(FileNotFoundError):
                    os.unlink(mark)
            flush_folder(stored.path)
        except OSError as error:
            raise WriteError(f"cannot be {'' if pin else 'un'}pinned: {error.strerror}", where=stored.path) from None
