"""The quick part of `make test-crash`: the harness tells right writers from wrong ones, and ours are right."""

from __future__ import annotations

import pytest

from .calls import parse
from .check import crash, crash_without_each_flush
from .record import why_not

needs_strace = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@needs_strace
@pytest.mark.parametrize("name", ["right", "right-folder"])
def test_a_right_writer_never_fails(name: str) -> None:
    """A writer that syncs the file, renames it and syncs the folder leaves the old or the new, and then the new."""
    tally = crash(name)
    assert (tally.unreadable, tally.mixed, tally.lost) == (0, 0, 0), tally.examples
    assert tally.kept_old > 0
    assert tally.kept_new > 0


@needs_strace
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("no-fsync", {"unreadable", "mixed"}),
        ("no-fsync-of-folder", {"lost"}),
        ("rename-first", {"unreadable", "mixed"}),
        ("delete-first", {"unreadable"}),
        ("two-files", {"mixed"}),
    ],
)
def test_a_wrong_writer_is_caught(name: str, kinds: set[str]) -> None:
    """Each mistake of a writer shows as what it can cause, and as nothing else."""
    assert crash(name).examples.keys() == kinds


@needs_strace
@pytest.mark.parametrize("name", ["step-first", "step-again", "step-leftovers", "step-remove"])
def test_crashes_of_ours_leave_the_old_or_the_new(name: str) -> None:
    """At every point a checkpoint reads as the older or the new one, as the new one once the write has returned."""
    tally = crash(name)
    assert tally.failures == 0, tally.examples
    assert tally.states > 30


@needs_strace
def test_every_flush_of_ours_is_needed() -> None:
    """Leave any one fsync out of a write, and some crash loses what was saved."""
    needed = {flush: tally.failures for flush, tally in crash_without_each_flush("step-first")}
    assert len(needed) >= 7, "new folders, their parent, three files, their folder, the rename"
    assert all(needed.values()), needed


def test_interrupted_calls_are_joined() -> None:
    """A call that other threads interrupt in the trace counts when it returns; failed calls and signals do not."""
    trace = [
        r'7 write(3<\x2f\x61>, "\x62\x2c\x20\x22", 4 <unfinished ...>',
        r'8  mkdir("\x63\x72", 0777) = -1 ENOENT (No such file or directory)',
        "8 --- SIGCHLD ---",
        r"8 fsync(4<\x2f\x63>) = 0",
        "7 <... write resumed>) = 3",
    ]
    sync, write = parse(trace)
    assert (sync.name, sync.pid) == ("fsync", 8)
    assert (write.data, write.number(0)) == (b"b, ", 3)


def test_buffers_of_one_write_are_joined() -> None:
    """A write of several buffers is one write of as many bytes as it returned."""
    (call,) = parse([r'7 writev(3<\x2f\x61>, [{iov_base="\x61\x62", iov_len=2}, {iov_base="\x63", iov_len=1}], 2) = 3'])
    assert call.data == b"abc"


def test_data_that_strace_cut_off_is_no_data() -> None:
    """A write whose data is not all in the trace is an error, not a shorter write."""
    (call,) = parse([r'7 write(3<\x2f\x61>, "\x61\x62"..., 3) = 3'])
    with pytest.raises(ValueError, match="cut"):
        _ = call.data
