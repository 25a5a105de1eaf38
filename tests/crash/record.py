"""The system calls of one save, recorded by strace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache

# A call that is not here cannot change what is on the disk, or is refused by `disk.py`. The `?` lets strace
# pass over names that a machine does not have (aarch64 has no `open`, `mkdir`, `rename` ...).
TRACED = """
    open openat openat2 creat write pwrite64 writev pwritev pwritev2 truncate ftruncate fallocate
    rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir link linkat symlink symlinkat
    fsync fdatasync sync syncfs msync close dup dup2 dup3 fcntl lseek mmap copy_file_range sendfile splice
    clone clone3 fork vfork io_uring_enter io_submit
"""
LONGEST = 64 << 20  # bytes of one write that strace keeps
MARKS = "/crash-mark"  # no such folder: making one in it fails, and shows in the trace


@cache
def why_not() -> str | None:
    """Return why nothing can be recorded on this machine, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    try:
        subprocess.run(["strace", "-o", os.devnull, "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "strace may not trace here (ptrace is not allowed)"
    return None


def record(scenario: str, folder: str) -> list[str]:
    """Return the trace, line by line, of `scenario` prepared and saved in `folder` by a process of its own.

    Raises:
        RuntimeError: the scenario failed; its output is the message.
    """
    with tempfile.TemporaryDirectory() as scratch:
        trace = os.path.join(scratch, "trace")
        strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", str(LONGEST), "-o", trace]
        calls = "trace=" + ",".join("?" + name for name in TRACED.split())
        command = [*strace, "-e", calls, sys.executable, "-m", "crash.record", scenario, folder]
        where = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | where)
        if done.returncode:
            raise RuntimeError(f"{scenario}: {done.stderr[-2000:]}")
        with open(trace, encoding="ascii") as file:
            return file.readlines()


def mark(name: str) -> None:
    """Leave `name` in the trace and nothing on the disk."""
    try:
        os.mkdir(f"{MARKS}/{name}")
    except FileNotFoundError:
        return
    raise RuntimeError(f"{MARKS} exists")


def _save(name: str, folder: str) -> None:
    from .scenarios import SCENARIOS

    scenario = SCENARIOS[name]
    scenario.before(folder)
    mark("begin")
    scenario.save(folder)
    mark("promised")


if __name__ == "__main__":
    _save(*sys.argv[1:])
