"""Checkpoint directories: what is written is what is read, by us and by others' tools."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import blake3
import numpy as np
import pytest
import safetensors.numpy
import xxhash

import weightlift as wl
from weightlift.errors import LimitError, MissingDependencyError, SourceError, StateDictError, UnsupportedError
from weightlift.formats.step import open_step, verify_step
from weightlift.tensors.from_live import lazy_values
from weightlift.writers.manifest import MANIFEST, STATE, Manifest
from weightlift.writers.step import write_step

from step_saves import found, save, tensors_of

HASHES = {"xxh3": xxhash.xxh3_128, "blake3": blake3.blake3, "sha256": hashlib.sha256}
STATE_OF_A_MODULE = {"weightlift_state": 1, "parts": {"model": {"kind": "module", "order": ["b", "w", "tied"]}}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Nothing here waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def trained(tmp_path):
    """A checkpoint of a module with a tied weight and a view, and of moments."""
    w = np.arange(60_000, dtype=np.float32).reshape(200, 300)
    tensors = lazy_values({"model/w": w, "model/b": np.arange(3.0), "optimizer/model/w/exp_avg": w + 1})
    tensors["model/tied"] = tensors["model/w"]
    write_step(tmp_path / "s", tensors, STATE_OF_A_MODULE, step=5, parts={"model": "module"})
    return tmp_path / "s", w


@pytest.mark.parametrize("verify", [True, False])
def test_what_was_written_is_read(trained, verify):
    """Values, ties, the state and the manifest come back, verified or straight from the files."""
    path, w = trained
    step = open_step(path, verify=verify)
    assert step.state == STATE_OF_A_MODULE
    assert (step.manifest.step, dict(step.manifest.parts)) == (5, {"model": "module"})
    assert set(step.tensors) == {"model/w", "model/b", "model/tied", "optimizer/model/w/exp_avg"}
    assert (step.tensors["model/w"].numpy() == w).all()
    assert (step.tensors["optimizer/model/w/exp_avg"].numpy() == w + 1).all()
    assert step.tensors["model/tied"] is step.tensors["model/w"]


def test_verified_tensors_are_in_memory_of_their_own(trained):
    """A verified tensor's bytes are writable memory that no file is read for again."""
    path, _ = trained
    tensor = open_step(path).tensors["model/w"]
    for name in os.listdir(path):
        (path / name).unlink()
    memory = tensor.storage.source().memory_range(0, tensor.nbytes)
    before = tensor.tobytes()
    memory[0] ^= 1
    assert tensor.tobytes() == bytes([before[0] ^ 1]) + before[1:]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("size", [1000, 300_000])
def test_verified_tensors_are_not_shared_with_a_forked_child(tmp_path, size):
    """What a child process writes to the weights that its parent has read, the parent does not see."""
    write_step(tmp_path / "s", lazy_values({"w": np.zeros(size)}), {})
    memory = open_step(tmp_path / "s").tensors["w"].storage.source().memory_range(0, 8)
    child = os.fork()
    if not child:
        memory[0] = 1
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert memory[0] == 0


@pytest.mark.parametrize("name", HASHES)
def test_hashes_are_those_of_ordinary_tools(tmp_path, name):
    """Each file's and tensor's hash is the plain hash of its bytes, whichever of the three is chosen."""
    written = save(tmp_path / "s", 1, hash=name)
    for file, record in written.manifest.files.items():
        data = (tmp_path / "s" / file).read_bytes()
        assert (record.nbytes, record.hash) == (len(data), HASHES[name](data).hexdigest())
    for key, tensor in tensors_of(1).items():
        assert written.manifest.tensors[key].hash == HASHES[name](tensor.tobytes()).hexdigest()
    text, _, own = (tmp_path / "s" / MANIFEST).read_bytes().partition(b',"manifest_hash":')
    assert json.loads(own[:-1]) == HASHES[name](text + b"}").hexdigest()
    assert found(tmp_path / "s") == 1
    assert written.nbytes == sum(each.stat().st_size for each in (tmp_path / "s").iterdir())


def test_other_readers_read_the_data_files(trained):
    """The safetensors package reads every data file."""
    path, w = trained
    held = {}
    for file in path.glob("data-*.safetensors"):
        held |= safetensors.numpy.load_file(file)
    assert (held["model/w"] == w).all()


def test_the_tools_for_checkpoints_work_on_the_directory(trained, tmp_path):
    """open, inspect and extract take the directory or its manifest, and give the module's own names in order."""
    path, w = trained
    for given in (path, path / MANIFEST):
        checkpoint = wl.open(given)
        assert checkpoint.format == "step"
        assert list(checkpoint.state_dict("model")) == ["b", "w", "tied"]
    assert wl.inspect(path).details["step"] == 5
    wl.extract(path, tmp_path / "out.safetensors", name="model")
    assert (wl.open(tmp_path / "out.safetensors").state_dict()["w"].numpy() == w).all()


def test_inspecting_needs_no_torch_and_no_numpy(trained):
    """A checkpoint directory is inspected without importing torch or numpy."""
    path, _ = trained
    code = f"import sys, weightlift as wl; wl.inspect({str(path)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy"} & set(done.stdout.split())


def test_metrics_that_are_no_numbers_of_json(tmp_path):
    """Infinite and undefined metrics come back as what they were; anything but a number is refused by its name."""
    save(tmp_path / "s", 1, metrics={"a": float("inf"), "b": float("-inf"), "c": float("nan"), "d": -0.0, "e": 3})
    metrics = open_step(tmp_path / "s").manifest.metrics
    assert [repr(value) for value in metrics.values()] == ["inf", "-inf", "nan", "-0.0", "3"]
    with pytest.raises(UnsupportedError, match="metric 'loss'"):
        save(tmp_path / "t", 1, metrics={"loss": "low"})
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"step": "5"}, "step '5'"),
        ({"parts": {"model": 3}}, "parts 'model'"),
        ({"hash": "md5"}, "the hash 'md5'"),
        ({"max_file_bytes": 0}, "max_file_bytes=0"),
    ],
)
def test_what_cannot_be_read_again_is_not_written(tmp_path, options, match):
    """A step, part or hash that no manifest can have is refused before a directory is made."""
    with pytest.raises(UnsupportedError, match=match):
        save(tmp_path / "runs" / "s", 1, **options)
    assert os.listdir(tmp_path) == []


def test_a_state_that_is_no_json_is_refused(tmp_path):
    """Objects and undefined numbers in the state are refused before anything is written."""
    for state in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises(UnsupportedError, match="the state is no JSON"):
            write_step(tmp_path / "s", {}, state)
    assert os.listdir(tmp_path) == []


def test_without_tensors(tmp_path):
    """A checkpoint of state alone has no data file."""
    write_step(tmp_path / "s", {}, {"weightlift_state": 1, "parts": {}})
    assert sorted(os.listdir(tmp_path / "s")) == [MANIFEST, STATE]
    assert open_step(tmp_path / "s").tensors == {}
    assert verify_step(tmp_path / "s") == []


def test_a_header_that_would_be_too_large_becomes_several_files(tmp_path, monkeypatch):
    """Many names are split over files so that no header passes the limit; all of them come back."""
    small = type(wl.Limits())(header_bytes=20_000)
    monkeypatch.setattr("weightlift.writers.step.DEFAULT_LIMITS", small)
    values = lazy_values({f"model/layer.{i}": np.array([i]) for i in range(200)})
    written = write_step(tmp_path / "s", values, {})
    assert len(written.manifest.files) > 3
    step = open_step(tmp_path / "s")
    assert [int(step.tensors[name].numpy()[0]) for name in values] == list(range(200))


def test_a_missing_package_is_told_with_its_install_line(tmp_path, monkeypatch):
    """A hash whose package is not installed is an error that says how to install it, in writing and in reading."""
    save(tmp_path / "s", 1, hash="blake3")
    monkeypatch.setitem(sys.modules, "blake3", None)
    for action in (lambda: save(tmp_path / "t", 1, hash="blake3"), lambda: open_step(tmp_path / "s")):
        with pytest.raises(MissingDependencyError, match=r"pip install 'weightlift\[blake3\]'"):
            action()


def test_a_name_that_is_not_there_has_a_suggestion(trained):
    """An unknown tensor name is an error with the nearest one."""
    with pytest.raises(StateDictError, match="did you mean 'model/w'"):
        open_step(trained[0], names=["model/ww"])


def test_no_checkpoint_at_all(tmp_path):
    """A path where nothing is, a file or an empty directory are errors that name it."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("nothing", "file", "empty"):
        with pytest.raises(SourceError, match=name):
            open_step(tmp_path / name)
        assert len(verify_step(tmp_path / name)) == 1


def test_limits_hold_for_what_is_read(tmp_path):
    """A manifest or state larger than the limits is not read."""
    save(tmp_path / "s", 1)
    for limits in (wl.Limits(header_bytes=64), wl.Limits(text_bytes=8)):
        with pytest.raises(LimitError, match="bytes"):
            open_step(tmp_path / "s", limits=limits)


def _changed(field, value):
    def change(tree):
        tree[field] = value

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_changed("weightlift", 2), "version 2; expected 1; use a newer weightlift"),
        (_changed("weightlift", True), "version True"),
        (_changed("hash", "crc32"), "the hash 'crc32'"),
        (_changed("hash", None), "hash None"),
        (_changed("step", 1.5), "step 1.5"),
        (_changed("metrics", []), "metrics"),
        (_changed("metrics", {"a": "low"}), "metric 'a'"),
        (_changed("parts", {"a": 1}), "parts 'a'"),
        (_changed("partial", "x"), "partial"),
        (_changed("more", 1), "fields"),
        (_changed("files", {"../x": {"nbytes": 1, "hash": "0" * 32}}), r"file name '\.\./x'"),
        (_changed("files", {"data-1.safetensors": {"nbytes": 1, "hash": "0" * 32}}), "file name"),
        (_changed("files", {}), r"no 'state\.json'"),
        (_changed("files", {STATE: {"nbytes": -1, "hash": "0" * 32}}), "nbytes -1"),
        (_changed("files", {STATE: {"nbytes": 1, "hash": "0" * 31}}), "32 hexadecimal digits"),
        (_changed("tensors", {"w": {"file": "x", "nbytes": 1, "hash": "0" * 32}}), "file 'x'"),
        (_changed("tensors", {"w": 3}), "file, nbytes, hash"),
    ],
)
def test_a_forged_manifest_is_refused(change, match):
    """A manifest whose own hash fits but whose content breaks a rule is an error that says which."""
    tree = json.loads(Manifest(files={}).to_bytes())
    del tree["manifest_hash"]
    tree["files"] = {STATE: {"nbytes": 1, "hash": "0" * 32}}
    change(tree)
    text = json.dumps(tree, separators=(",", ":")).encode()
    data = text[:-1] + b',"manifest_hash":"' + xxhash.xxh3_128(text).hexdigest().encode() + b'"}'
    with pytest.raises(wl.WeightliftError, match=match):
        Manifest.from_bytes(data)


def test_another_spelling_of_a_manifest_is_refused():
    """A manifest with a space in it is refused although its hash fits."""
    text = Manifest(files={}).to_bytes().partition(b',"manifest_hash"')[0] + b"}"
    text = text.replace(b'"files":{}', b'"files": {"state.json":{"nbytes":1,"hash":"%s"}}' % (b"0" * 32))
    data = text[:-1] + b',"manifest_hash":"' + xxhash.xxh3_128(text).hexdigest().encode() + b'"}'
    with pytest.raises(wl.WeightliftError, match="spelled in another way"):
        Manifest.from_bytes(data)
