"""One writer to a directory."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import signal
import subprocess
import sys

import pytest

from weightlift.errors import StoreError, StoreLockedError
from weightlift.training.lock import DirectoryLock

HOLD = """
import sys
from weightlift.training.lock import DirectoryLock
lock = DirectoryLock(sys.argv[1])
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def in_a_child(work):
    """What `work` returns (a small int) in a forked child."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def refused(folder):
    """Whether the lock is refused here and now."""
    try:
        DirectoryLock(str(folder)).take()
    except StoreLockedError:
        return 1
    return 0


def test_a_second_process_is_told_who_holds_it(tmp_path, holder):
    """The error names the process and the host that hold the lock."""
    with pytest.raises(StoreLockedError, match=f"process {holder.pid} on {os.uname().nodename} writes here"):
        DirectoryLock(str(tmp_path)).take()


def test_a_killed_process_holds_nothing(tmp_path, holder):
    """The lock ends with its process, however that ends."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert DirectoryLock(str(tmp_path)).take()


def test_a_second_lock_of_one_process_is_refused(tmp_path):
    """Two locks of one process on one directory are told apart, by another name of it too."""
    first = DirectoryLock(str(tmp_path))
    assert first.take()
    assert not first.take()
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    with pytest.raises(StoreLockedError, match="another CheckpointStore of this process"):
        DirectoryLock(str(link)).take()
    first.release()
    assert DirectoryLock(str(link)).take()


def test_garbage_collection_gives_it_up(tmp_path):
    """A lock that nothing refers to is free, for this process and for others."""
    DirectoryLock(str(tmp_path)).take()
    gc.collect()
    assert in_a_child(lambda: refused(tmp_path)) == 0


def test_a_forked_child_does_not_own_it(tmp_path):
    """A child cannot write with its parent's lock, and by letting go of its copy takes nothing from the parent."""
    lock = DirectoryLock(str(tmp_path))
    lock.take()

    def child():
        if lock.held:
            return 2
        try:
            lock.take()
        except StoreLockedError as error:
            lock.release()
            return 0 if f"process {os.getppid()}" in str(error) else 3
        return 4

    assert in_a_child(child) == 0
    assert lock.held
    assert in_a_child(lambda: refused(tmp_path)) == 1


def test_a_removed_lock_file_is_noticed(tmp_path):
    """After the directory was cleared the lock is on nothing: it is taken anew, not believed in."""
    lock = DirectoryLock(str(tmp_path))
    lock.take()
    (tmp_path / ".lock").unlink()
    assert not lock.held
    assert lock.take()
    assert in_a_child(lambda: refused(tmp_path)) == 1


def test_a_lock_file_that_leads_elsewhere_is_not_followed(tmp_path):
    """A symbolic link in the place of the lock file is refused; what it points to is not made."""
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="cannot be locked for writing"):
        DirectoryLock(str(tmp_path)).take()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    """Where the system has no locks the run goes on, with a warning that nobody keeps others out."""

    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    assert DirectoryLock(str(tmp_path)).take()
    assert "this file system has no locks" in caplog.text
