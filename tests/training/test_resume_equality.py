"""A resumed run is the run that was never interrupted, to the last bit."""

from __future__ import annotations

import os

import pytest

import weightlift as wl

from training_runs import STEPS, Run, makes

COUNT = int(os.environ.get("WEIGHTLIFT_COMBINATIONS", "30"))


@pytest.mark.parametrize("make", makes(COUNT), ids=str)
def test_a_resumed_run_is_bitwise_equal_to_the_uninterrupted_one_at_every_step(make, tmp_path):
    """Saved after some steps and gone on with in new objects of another seed, every later step is the same."""
    whole = Run(make, seed=1)
    digests = []
    for at in range(STEPS):
        whole.step()
        digests.append(whole.digest())
        wl.save(tmp_path / f"step-{at}", **whole.state()) if at % 2 == 0 else None
    assert len(set(digests)) == STEPS  # the digest sees what a step changes
    for at in range(0, STEPS, 2):
        again = Run(make, seed=2)
        for _ in range(at % 3):  # state that has to go, too
            again.step()
        state = again.state()
        resumed = wl.resume(tmp_path / f"step-{at}", **state)
        again.losses = resumed["meta"]["losses"]
        assert again.digest() == digests[at]
        for later in range(at + 1, STEPS):
            again.step()
            assert again.digest() == digests[later], later
