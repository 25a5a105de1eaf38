"""Work off the main thread: one job at a time, none of it lost, no error of it unseen.

The thread is no daemon, so the interpreter ends only when the job is done. What failed is raised by the
next call that waits; what nobody asked about any more is reported as the interpreter ends.

A forked child has the objects and not the thread: there, waiting says so instead of hanging.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable

from ..errors import StoreError
from ..typed import Any

_UNSEEN: dict[int, Job] = {}
"""Jobs that failed, until somebody is told."""


class Job:
    """One piece of work on a thread of its own. `title` says what it is in messages."""

    def __init__(self, work: Callable[[], Any], title: str) -> None:
        self.title = title
        self._work: Callable[[], Any] | None = work
        self._pid = os.getpid()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"weightlift: {title}", daemon=False)

    def start(self) -> None:
        """Begin; the work is let go of when it ends, with all that it holds."""
        try:
            self._thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending: then it is done here and now
            self._run()

    def _run(self) -> None:
        try:
            assert self._work is not None  # noqa: S101 - a job runs once
            self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised again where somebody waits
            self._error = error
            _UNSEEN[id(self)] = self
        finally:
            self._work = None
            self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self._ended.is_set()

    @property
    def failed(self) -> bool:
        """Whether it is over and ended with an error."""
        return self._error is not None

    def wait(self) -> None:
        """Return when it is over.

        Raises:
            StoreError: this is a forked child; the work is its parent's.
            What the work raised.
        """
        if os.getpid() != self._pid and not self.ended:
            raise StoreError(f"{self.title} is the business of process {self._pid}", remedy="wait for it there")
        self._ended.wait()
        _UNSEEN.pop(id(self), None)
        if self._error is not None:
            raise self._error


class Background:
    """Room for one job at a time."""

    def __init__(self) -> None:
        self._job: Job | None = None

    def submit(self, work: Callable[[], Any], title: str) -> Job:
        """Start a job when the one before it is over.

        Raises:
            What the one before it raised; then nothing is started, and the next call is free to.
        """
        self.wait()
        job = Job(work, title)
        job.start()
        self._job = job
        return job

    def wait(self) -> None:
        """Return when no job is in flight.

        Raises:
            What the job raised, unless its own `wait` has told that already.
        """
        job = self._job
        if job is None:
            return
        if job.ended and id(job) not in _UNSEEN:  # it went well, or its error has been seen
            self._job = None
            return
        try:
            job.wait()
        finally:
            if job.ended:  # not after Ctrl-C while waiting: it is still in flight
                self._job = None


def _report_unseen() -> None:
    """Say what failed and was never asked about. Runs after the threads have been joined."""
    mine = [job for job in list(_UNSEEN.values()) if job._pid == os.getpid()]  # noqa: SLF001 - one module's own
    _UNSEEN.clear()
    for job in mine:
        logging.getLogger("weightlift").error("%s failed, and nothing waited for it: %s", job.title, job._error)  # noqa: SLF001


atexit.register(_report_unseen)
