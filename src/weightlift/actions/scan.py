"""`scan`: is it safe to load elsewhere, and why; of files, folders and archives. No code of a file runs."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..limits import DEFAULT_LIMITS, Limits
from ..scans.values import EXIT_CODES, Scanned, Verdict, worst
from ..values import dataclass
from .scan_file import scan_file
from .scan_targets import Target, targets

Progress = Callable[[int, int], None]

_FILES_PER_PROCESS = 100
"""Starting a process takes as long as scanning some fifty small files."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The verdicts on some files, in the order of their names.

    `verdict` is the worst of them: dangerous, then unreadable, unknown, clean; `exit_code` is 3, 2, 1 or 0.
    """

    files: tuple[Scanned, ...]
    verdict: Verdict
    exit_code: int
    skipped: int = 0
    """Files of folders that are plainly no checkpoints: text, pictures, programs; pipes and devices."""

    def of(self, verdict: Verdict) -> list[Scanned]:
        """Return the files that got one verdict."""
        return [file for file in self.files if file.verdict == verdict]


def scan(
    *paths: str | os.PathLike[str],
    jobs: int | None = None,
    deep: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Scan:
    """Return the verdicts on files and on everything under folders. No code of a file runs.

    Reads the structure of files and the pickles in them; the bytes of tensors only where `deep` asks for it. `jobs` is
    how many processes read; by default one until there are some hundred files, then as many as there are processors.
    With more than one, a process that is killed or runs out of memory makes the file that it read unreadable and
    nothing else. `progress` is called with (files done, files in all).

    >>> import weightlift as wl
    >>> wl.scan("downloads").verdict
    'clean'

    Never raises for what a file holds, nor for one that cannot be read: that is a verdict.
    """
    listed = targets(paths)
    waiting = {i: target for i, target in enumerate(listed.found) if isinstance(target, Target)}
    verdicts = _scanned(waiting, jobs, limits=limits, deep=deep, progress=progress)
    merged = [verdicts[i] if i in waiting else target for i, target in enumerate(listed.found)]
    files = tuple(file for file in merged if isinstance(file, Scanned))
    verdict = worst(file.verdict for file in files)
    return Scan(files, verdict, EXIT_CODES[verdict], len(merged) - len(files) + listed.special)


def _scanned(
    waiting: dict[int, Target], jobs: int | None, *, limits: Limits, deep: bool, progress: Progress | None
) -> dict[int, Scanned | None]:
    """Return the verdict on each target by its number, None for what is plainly no checkpoint."""
    wanted = min(_processors(), len(waiting) // _FILES_PER_PROCESS) if jobs is None else min(jobs, len(waiting))
    verdicts: dict[int, Scanned | None] = {}
    if wanted > 1 or (jobs or 0) > 1:
        from .scan_workers import scan_in_processes

        verdicts = scan_in_processes(waiting, max(1, wanted), limits=limits, deep=deep, progress=progress)
    for i, target in waiting.items():
        if i not in verdicts:
            verdicts[i] = scan_file(target.path, asked=target.asked, limits=limits, deep=deep)
            if progress:
                progress(len(verdicts), len(waiting))
    return verdicts


def _processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
