"""One job at a time on a thread; its errors are seen."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from weightlift.errors import StoreError
from weightlift.training.background import Background


def failing():
    raise OSError("no space")


def test_one_job_at_a_time():
    """A second job begins when the first has ended."""
    background, order, go = Background(), [], threading.Event()
    background.submit(lambda: (go.wait(), order.append(1)), "first")
    threading.Timer(0.05, go.set).start()
    background.submit(lambda: order.append(2), "second").wait()
    assert order == [1, 2]


def test_an_error_is_raised_by_the_next_call_once():
    """What a job raised comes out of the next call, which starts nothing; the one after that is free."""
    background, done = Background(), []
    background.submit(failing, "first")
    with pytest.raises(OSError, match="no space"):
        background.submit(lambda: done.append(1), "second")
    assert not done
    background.submit(lambda: done.append(2), "third").wait()
    assert done == [2]


def test_an_error_that_was_seen_is_not_told_again():
    """Whoever waits for the job itself has seen its error; `wait` then is silent."""
    background = Background()
    job = background.submit(failing, "first")
    with pytest.raises(OSError, match="no space"):
        job.wait()
    background.wait()


PROGRAM = """
import os, sys, time
from weightlift.training.background import Background
background = Background()
def work():
    time.sleep(0.3)
    {work}
background.submit(work, "saving runs/a/step-000001")
{end}
"""


def ended(work, end=""):
    program = PROGRAM.format(work=work, end=end)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError('the script fails')"])
def test_the_interpreter_waits(end):
    """However a script ends, the job is done before the interpreter is gone."""
    assert "written" in ended("print('written', flush=True)", end).stdout


def test_an_error_that_nobody_waited_for_is_reported_at_exit():
    """A save that failed in the background is on stderr when the script ends without asking."""
    done = ended("raise OSError('no space left')")
    assert "saving runs/a/step-000001 failed, and nothing waited for it: no space left" in done.stderr


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_what_is_not_its_own():
    """In a forked child, waiting for the parent's job is an error, not a hang."""
    background, go = Background(), threading.Event()
    job = background.submit(go.wait, "saving")
    child = os.fork()
    if child == 0:
        try:
            job.wait()
        except StoreError as error:
            os._exit(0 if f"process {os.getppid()}" in str(error) else 1)
        os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    go.set()
    background.wait()
    assert code == 0
