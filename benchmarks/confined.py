"""Commands on hostile files: little time, little memory, and a home of their own.

This bounds accidents. It is no sandbox: a file that means harm can do what the user may do, once a tool runs it.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS = 20
NBYTES = 2 << 30

_NO_MEMORY = ("MemoryError", "bad_alloc", "memory allocation of", "not enough memory", "can't allocate memory")


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one command: its exit code (below 0: a signal) and words, or that time or memory ran out."""

    code: int
    said: str
    hung: bool = False

    @property
    def out_of_memory(self) -> bool:
        """Whether it asked for more than it may have."""
        return self.code != 0 and any(words in self.said for words in _NO_MEMORY)

    @property
    def signal(self) -> str:
        """The name of the signal that ended it, or nothing."""
        return signal.Signals(-self.code).name if self.code < 0 else ""


def run(command: Sequence[str], *, seconds: float = SECONDS, nbytes: int = NBYTES, **environment: str) -> Ran:
    """Run a command and return what became of it; it and its children are ended after that many seconds.

    Memory is what the process may write to (heap, anonymous maps, stacks), so a mapped file costs nothing.
    """
    with tempfile.TemporaryDirectory(prefix="confined-") as home:
        child = subprocess.Popen(
            list(command),
            cwd=home,
            env={"PATH": os.defpath, "HOME": home, "TMPDIR": home, "OMP_NUM_THREADS": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _limit(nbytes, math.ceil(seconds) + 1),  # noqa: PLW1509 - it calls setrlimit and no more
        )
        try:
            said, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            said, _ = child.communicate()
            return Ran(child.returncode, said.decode(errors="replace"), hung=True)
        return Ran(child.returncode, said.decode(errors="replace"))


def _limit(nbytes: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))  # should the parent be gone
    resource.setrlimit(resource.RLIMIT_DATA, (nbytes, nbytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 26, 1 << 26))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
