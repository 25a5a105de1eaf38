"""Calls timed one by one inside a process, with the memory that they took at their peak on top."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

Nothing = Callable[[], None]


class Skipped(Exception):  # noqa: N818 - it is no failure
    """Why a way is not measured here."""


def measure(go: Nothing, times: int, *, before: Callable[[int], None], after: Nothing | None = None) -> dict[str, Any]:
    """Return what each call took: `{"seconds": [...], "cpu": [...], "peak": ...}`, CPU seconds of all threads.

    The peak is the most memory on top of what was held before, in bytes, of any call. `before` gets the number of
    the call and, like `after`, is not timed.
    """
    seconds, cpu, peaks = [], [], []
    for n in range(times):
        before(n)
        resident = _peak_from_here()
        begun, used = perf_counter(), process_time()
        go()
        seconds.append(perf_counter() - begun)
        cpu.append(process_time() - used)
        if after:
            after()
        peaks.append(_status("VmHWM") - resident)
    return {"seconds": seconds, "cpu": cpu, "peak": max(peaks)}


def clear(path: str) -> None:
    """Remove a file or a folder, and let the disk come to rest."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)
    os.sync()


def say(run: Callable[..., dict[str, Any]], *args: str) -> None:
    """Print what a measurement gives, or why there is none, as a line of JSON."""
    try:
        told = run(*args)
    except Skipped as reason:
        told = {"skipped": str(reason)}
    print(json.dumps(told))


def _peak_from_here() -> int:
    """Return the resident bytes of now, from which the peak is counted anew."""
    if sys.platform == "linux":
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    if sys.platform != "linux":
        return 0
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))
