"""Two processes over gloo: FSDP2 and plain data parallel training saved, resumed, and refused."""

from __future__ import annotations

import errno
import os

import pytest

torch = pytest.importorskip("torch")

import weightlift as wl  # noqa: E402
from weightlift.errors import PlanError  # noqa: E402
from weightlift.formats.step import open_step, verify_step  # noqa: E402
from weightlift.training.resume import resume  # noqa: E402
from weightlift.training.save import save  # noqa: E402
from weightlift.training.state import TrainState  # noqa: E402
from weightlift.training.store import CheckpointStore  # noqa: E402

from rank_runs import attempt, build, digest, kill_at, on_ranks, start, train  # noqa: E402

if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("this torch has no gloo", allow_module_level=True)


def _go_through(rank, count, folder):
    """Everything that two ranks are asked, one after the other: starting them takes longest."""
    found = {}
    for kind in ("fsdp", "ddp"):
        found |= {f"{kind}/{name}": value for name, value in _resume_equality(rank, kind, f"{folder}/{kind}").items()}
    found |= _refusals(rank, f"{folder}/fsdp", f"{folder}/refused")
    return found | {"store": _store(rank, f"{folder}/store")}


def _store(rank, path):
    """Four saves of which two are kept, the newest of which is then damaged."""
    parts = build("fsdp", rank)
    store = CheckpointStore(path, keep=2)
    fresh = store.resume(TrainState(**parts, rng=True), default=0)
    digests = {}
    for step in range(1, 5):
        train(parts)
        store.save(TrainState(**parts, rng=True), step=step, metrics={"loss": 1.0}, wait=step < 4)
        digests[step] = digest(parts)
    listed = [stored.step for stored in store.list()]
    torch.distributed.barrier()
    if rank == 0:
        _flip(f"{path}/step-000004/data-1-00001.safetensors")
    torch.distributed.barrier()
    other = build("fsdp", rank, seed=5)
    found = store.resume(TrainState(**other, rng=True))
    store.close()
    return fresh, listed, found, digest(other) == digests[3], list(store.notes)


def _flip(path):
    with open(path, "r+b") as file:
        file.seek(-3, os.SEEK_END)
        byte = file.read(1)
        file.seek(-3, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


def _resume_equality(rank, kind, path):
    parts = build(kind, rank)
    start(rank)
    train(parts, 2)
    before = {id(each): dict(each_state) for each, each_state in parts["optimizer"].state.items()}
    written = save(path, **parts, rng=True, meta={"epoch": 3}, step=2, metrics={"loss": 0.5})
    after = {id(each): dict(each_state) for each, each_state in parts["optimizer"].state.items()}
    saved = digest(parts)
    train(parts, 2)
    other = build(kind, rank, seed=9)
    start(rank + 7)
    back = resume(path, **other, rng=True, meta=None)
    resumed = digest(other)
    position = dict(vars(other["data"]))
    train(other, 2)
    return {
        "saved": saved,
        "resumed": resumed,
        "straight": digest(parts),
        "again": digest(other),
        "position": position,
        "meta": back["meta"],
        "step": (written.manifest.step, back.step, dict(back.metrics)),
        "untouched": [{k: id(v) for k, v in s.items()} for s in before.values()]
        == [{k: id(v) for k, v in s.items()} for s in after.values()],
    }


def _refusals(rank, good, path):
    parts = build("fsdp", rank)
    train(parts)
    narrow = build("fsdp", rank, dtype=torch.float16)
    held = digest(narrow)
    found = {
        "meta differs": attempt(save, path, **parts, meta={"rank": rank}),
        "a value that pickle alone can hold": attempt(save, path, **parts, meta={"f": attempt} if rank else {"f": 1}),
        "narrower": attempt(resume, good, model=narrow["model"]),
        "narrower is as it was": digest(narrow) == held,
        "absent": attempt(resume, good, model=parts["model"], ema=parts["scheduler"]),
        "full": _full_disk(rank, good, parts),
    }
    found |= {"damaged": _damaged(rank, good, parts)}
    broken = parts | ({"scheduler": Broken()} if rank else {})
    return found | {"its own error": attempt(save, path, **broken)}


class Broken:
    """A part whose own code fails."""

    def state_dict(self):  # noqa: D102
        raise RuntimeError("no state today")

    def load_state_dict(self, state):  # noqa: D102
        raise AssertionError(state)


def _full_disk(rank, path, parts):
    """Rank 1 cannot write."""
    real = os.write
    if rank == 1:

        def full(fd, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        os.write = full
    try:
        return attempt(save, path, **parts, step=9)
    finally:
        os.write = real


def _damaged(rank, path, parts):
    """A byte of what rank 1 wrote changes."""
    torch.distributed.barrier()
    before = digest(parts)
    if rank == 0:
        _flip(f"{path}/data-1-00001.safetensors")
    torch.distributed.barrier()
    given = {name: part for name, part in parts.items() if name != "data"}
    told = attempt(resume, path, **given, rng=True)
    torch.distributed.barrier()
    if rank == 0:
        _flip(f"{path}/data-1-00001.safetensors")
    return told, digest(parts) == before


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def told(folder):
    found = on_ranks(2, _go_through, str(folder))
    assert all(isinstance(each, dict) for each in found), found
    return found


@pytest.mark.parametrize("kind", ["fsdp", "ddp"])
class TestResuming:
    """What was saved is what is there again."""

    def test_goes_on_as_if_nothing_had_been(self, told, kind):
        """Weights, moments, random states and positions are bit for bit those of the run that was not interrupted."""
        for rank, each in enumerate(told):
            assert each[f"{kind}/saved"] == each[f"{kind}/resumed"]
            assert each[f"{kind}/straight"] == each[f"{kind}/again"]
            assert each[f"{kind}/position"] == {"rank": rank, "at": 8}
            assert each[f"{kind}/meta"] == {"epoch": 3}
            assert each[f"{kind}/step"] == (2, 2, {"loss": 0.5})

    def test_saving_changes_nothing_in_the_optimizer(self, told, kind):
        """The tensors that an optimizer keeps are the same objects after a save."""
        assert all(each[f"{kind}/untouched"] for each in told)

    def test_anybody_reads_it_whole(self, told, folder, kind):
        """Without torch and ranks every tensor is there under its name, its blocks put together, every hash right."""
        path = folder / kind
        assert verify_step(path) == []
        tensors = open_step(path, verify=True).tensors
        for name, raw in told[0][f"{kind}/saved"].items():
            home, _, field = name.rpartition("/")
            key = f"optimizer/model/{home}/{field}" if home else f"model/{name}"
            assert tensors[key].tobytes() == raw
            assert tensors[key].numpy().tobytes() == raw
        weights = wl.open(path).state_dict()
        assert {name: weights[name].tobytes() for name in weights} == {
            name: raw for name, raw in told[0][f"{kind}/saved"].items() if "/" not in name
        }

    def test_one_process_takes_it(self, told, folder, kind):
        """One process without a process group resumes weights and optimizer of two ranks."""
        parts = build("alone", 0, seed=4)
        given = {name: part for name, part in parts.items() if name != "data"}
        back = resume(folder / kind, **given)
        assert back.step == 2
        assert "differed between the 2 ranks that saved them; those of rank 0 were taken" in back.notes[0]
        assert digest(parts) == told[0][f"{kind}/saved"]
        with pytest.raises(PlanError, match="'rng' was saved by 2 ranks, each its own, and here is 1"):
            resume(folder / kind, **given, rng=True)

    def test_nothing_is_pickled(self, told, folder, kind):  # noqa: ARG002 - `told` makes it
        """The directory holds a manifest, a state and safetensors files of each rank, and no `.metadata`."""
        names = sorted(os.listdir(folder / kind))
        expected = ["MANIFEST.json", *(f"data-{rank}-00001.safetensors" for rank in range(2)), "state.json"]
        assert names == expected


class TestRefusing:
    """Errors are told on every rank."""

    def test_what_is_not_the_same_on_all(self, told):
        """A value that is written once and differs between ranks is refused on every rank, by its part's name."""
        for each in told:
            assert each["meta differs"].startswith("UnsupportedError:")
            assert "'meta' is not the same on rank 0 and on rank 1" in each["meta differs"]

    def test_what_one_rank_cannot_write(self, told):
        """What only one rank cannot write is refused on all, with its path, and told whose it is."""
        key = "a value that pickle alone can hold"
        assert "meta['f'] is a function" in told[1][key]
        assert "rank 1: " in told[0][key]
        assert "meta['f'] is a function" in told[0][key]

    def test_a_narrower_type(self, told):
        """Weights of float32 do not go silently into a model of float16, which stays as it was."""
        for each in told:
            assert each["narrower"].startswith("PlanError:")
            assert "'first.weight' is float16 and was saved as float32" in each["narrower"]
            assert each["narrower is as it was"]

    def test_a_part_that_was_not_saved(self, told):
        """A part that the checkpoint has not is named, on every rank."""
        assert all("has no 'ema'" in each["absent"] for each in told)

    def test_a_full_disk_on_one_rank(self, told, folder):
        """A write that fails on one rank is a WriteError on all, and what was there before still is."""
        for each in told:
            assert each["full"].startswith("WriteError:")
            assert "No space left" in each["full"]
        assert open_step(folder / "fsdp").manifest.step == 2
        assert sorted(os.listdir(folder)) == ["ddp", "fsdp", "store"]

    def test_an_error_of_one_rank_alone(self, told):
        """An error in the code of one rank's part comes out there as it is, and the others do not wait for it."""
        assert told[1]["its own error"] == "RuntimeError: no state today"
        assert told[0]["its own error"].startswith("WriteError:")
        assert "another rank has died or does not answer" in told[0]["its own error"]

    def test_a_changed_byte(self, told):
        """A changed byte is found on load, told on all ranks, and none of them is touched."""
        for each in told:
            text, same = each["damaged"]
            assert text.startswith("MalformedError:")
            assert "data-1-00001.safetensors" in text
            assert same


def test_a_store(told, folder):
    """A store keeps what its rule says, and takes the newest that verifies; rank 0 sets the other aside."""
    for rank, each in enumerate(told):
        fresh, listed, found, same, notes = each["store"]
        assert (fresh, listed, found, same) == (0, [3, 4], 3, True)
        assert any("wait=False" in note for note in notes)
        assert any("set aside" in note for note in notes) == (rank == 0)
    assert sorted(os.listdir(folder / "store"))[-2:] == ["step-000003", "step-000004.broken"]


def _dies(rank, count, path, victim, phase):
    parts = build("fsdp", rank)
    train(parts)
    save(path, **parts, rng=True, step=1)
    if rank == victim:
        kill_at(phase, rank)
    return attempt(save, path, **parts, rng=True, step=2)


def test_a_rank_that_dies(tmp_path):
    """When a rank is killed while it writes, the other hears of it at once, and the older checkpoint is whole."""
    path = tmp_path / "run"
    found = on_ranks(2, _dies, str(path), 1, "while writing")
    assert found[1] == "exit -9"
    assert found[0].startswith("WriteError:")
    assert "another rank has died or does not answer" in found[0]
    assert verify_step(path) == []
    assert open_step(path).manifest.step == 1
    assert os.listdir(tmp_path) == ["run"]
