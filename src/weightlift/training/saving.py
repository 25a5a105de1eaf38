"""How far a save is."""

from __future__ import annotations

from ..typed import Self
from .background import Job


class Saving:
    """A save: where it goes, and how far it is.

    `staged`: the run may change, what is saved was copied. `committed`: it is there after a crash.
    """

    __slots__ = ("committed", "job", "path", "staged", "step")

    def __init__(self, path: str, step: int) -> None:
        self.path = path
        self.step = step
        self.staged = False
        self.committed = False
        self.job: Job | None = None

    def wait(self) -> Self:
        """Return this when it is committed.

        Raises:
            WriteError: it could not be; what was there before still is.
        """
        if self.job is not None:
            self.job.wait()
        return self

    def __repr__(self) -> str:
        state = "committed" if self.committed else "staged" if self.staged else "not staged"
        return f"<Saving {self.path!r}: {state}>"
