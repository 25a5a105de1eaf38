"""The whole matrix, behind `make test-ranks`: every pair of numbers of ranks, and every rank killed at every phase."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch")

from weightlift.formats.step import open_step, verify_step  # noqa: E402
from weightlift.training.resume import resume  # noqa: E402
from weightlift.training.save import save  # noqa: E402

from rank_runs import attempt, build, digest, kill_at, on_ranks, slow_commit, start, train  # noqa: E402

if os.environ.get("WEIGHTLIFT_RANKS") != "full":
    pytest.skip("takes minutes: make test-ranks", allow_module_level=True)

SAVED_ON = (2, 4)
KINDS = ("fsdp", "ddp")
PHASES = ("before writing", "while writing", "after writing")
COMMITS = ("before the commit", "between the renames", "after the renames")
VICTIMS = [
    *((count, rank, phase) for count in (2, 3, 4) for rank in range(count) for phase in PHASES),
    *((count, 0, phase) for count in (2, 3, 4) for phase in COMMITS),
    *((count, rank, "while it is committed") for count in (2, 3, 4) for rank in range(1, count)),
]


def _save(rank, count, kind, path):
    parts = build(kind, rank)
    start(rank)
    train(parts, 2)
    save(path, **parts, rng=True, step=2)
    return _without_statistics(digest(parts))


def _load(rank, count, kind, path):
    parts = build(kind, rank, seed=8)
    given = {name: part for name, part in parts.items() if name != "data"}
    resume(path, **given)
    own = attempt(resume, path, **parts)
    rng = attempt(resume, path, **given, rng=True)
    return _without_statistics(digest(parts)), own, rng


def _without_statistics(found):
    """Running statistics are each rank's own: tested with two ranks."""
    return {name: raw for name, raw in found.items() if "running" not in name}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    return {
        (kind, count): (folder / f"{kind}-{count}", on_ranks(count, _save, kind, str(folder / f"{kind}-{count}"))[0])
        for kind in KINDS
        for count in SAVED_ON
    }


@pytest.mark.parametrize("into", KINDS)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("origin", [(kind, count) for kind in KINDS for count in SAVED_ON])
def test_any_number_of_ranks_takes_what_any_other_saved(saved, origin, count, into):
    """Weights and moments are the same bits on any number of ranks, in shards or not; what is per rank is not taken."""
    path, expected = saved[origin]
    assert verify_step(path) == []
    for found in on_ranks(count, _load, into, str(path)):
        assert found[0] == expected
        if count == origin[1]:
            assert found[1:] == ("done", "done")
        else:
            assert f"'data' was saved by {origin[1]} ranks" in found[1]
            assert f"'rng' was saved by {origin[1]} ranks" in found[2]


def _dies(rank, count, path, victim, phase):
    parts = build("fsdp", rank)
    train(parts)
    save(path, **parts, rng=True, step=1)
    if rank == 0 and victim:
        slow_commit()
    if rank == victim:
        kill_at(phase, rank)
    return attempt(save, path, **parts, rng=True, step=2)


@pytest.mark.parametrize(("count", "victim", "phase"), VICTIMS)
def test_a_rank_that_dies(tmp_path, count, victim, phase):
    """Whichever rank is killed, whenever: the others hear of it, and one whole checkpoint is at the path."""
    path = tmp_path / "run"
    found = on_ranks(count, _dies, str(path), victim, phase)
    assert found.pop(victim) == "exit -9"
    for each in found:
        assert each.startswith("WriteError:"), each
    assert verify_step(path) == []
    step = open_step(path).manifest.step
    if phase in PHASES or phase in COMMITS[:2]:
        assert step == 1
    elif phase == COMMITS[2]:
        assert step == 2
    else:
        assert step in (1, 2)
    assert save(path, meta={"again": True}).manifest.step is None
    assert os.listdir(tmp_path) == ["run"]
