"""Whatever is changed in a checkpoint, reading it verified says so: no change of a byte goes unseen."""

from __future__ import annotations

import json
import os
import random
import shutil

import pytest

from weightlift.errors import WeightliftError
from weightlift.formats.step import open_step, verify_step
from weightlift.writers.manifest import MANIFEST, STATE
from weightlift.writers.step import write_step

from step_saves import save, tensor_of

CASES = int(os.environ.get("WEIGHTLIFT_CASES", "600"))
FILES = ("data-00001.safetensors", "data-00002.safetensors", "data-00003.safetensors", STATE, MANIFEST)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Two checkpoints of the same layout and other values."""
    folder = tmp_path_factory.mktemp("steps")
    made = []
    for seed in (1, 2):
        values = random.Random(seed)
        tensors = {
            f"{part}/{name}": tensor_of(values.randbytes(nbytes), (nbytes,), "uint8")
            for part in ("model", "optimizer", "ema")
            for name, nbytes in (("w", 5000), ("v", 5000), ("b", 64))
        }
        state = {"weightlift_state": 1, "parts": {"meta": {"kind": "value", "value": [seed] * 20}}}
        write_step(folder / str(seed), tensors, state, step=seed, max_file_bytes=11_000, metrics={"loss": seed / 3})
        made.append({name: (folder / str(seed) / name).read_bytes() for name in os.listdir(folder / str(seed))})
    assert sorted(made[0]) == sorted(FILES)
    return made


def flipped(data, chance):
    at = chance.randrange(len(data) * 8)
    made = bytearray(data)
    made[at // 8] ^= 1 << at % 8
    return bytes(made)


def zeroed(data, chance):
    begin = chance.randrange(len(data))
    nbytes = chance.choice([1, 16, 512, 4096])
    return data[:begin] + bytes(len(data[begin : begin + nbytes])) + data[begin + nbytes :]


def cut_off(data, chance):
    return data[: chance.randrange(len(data))]


def lengthened(data, chance):
    return data + chance.randbytes(chance.choice([1, 8, 512]))


def exchanged(data, chance):
    """Two blocks of equal size change places."""
    nbytes = chance.choice([1, 8, 64, 512])
    if len(data) < 2 * nbytes:
        return data
    one, two = sorted(chance.sample(range(len(data) // nbytes), 2))
    one, two = one * nbytes, two * nbytes
    first, second = data[one : one + nbytes], data[two : two + nbytes]
    return data[:one] + second + data[one + nbytes : two] + first + data[two + nbytes :]


def damage(original, other, chance):
    """One checkpoint with one kind of damage: {name: bytes}."""
    made = dict(original)
    kind = chance.choice([flipped, flipped, flipped, zeroed, cut_off, lengthened, exchanged, "swap", "other", "gone"])
    name = chance.choice(FILES)
    if kind == "swap":
        second = chance.choice([each for each in FILES if each != name])
        made[name], made[second] = made[second], made[name]
    elif kind == "other":
        made[name] = other[name]
    elif kind == "gone":
        del made[name]
    else:
        made[name] = kind(made[name], chance)
    return kind if isinstance(kind, str) else kind.__name__, name, made


def written(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    for name, data in files.items():
        with open(folder / name, "wb") as out:
            out.write(data)
    return folder


def test_all_damage_is_found(originals, tmp_path):
    """Bit flips, zeroed blocks, truncations, exchanged blocks, files, manifests: each is an error that says where."""
    chance = random.Random(CASES)
    seen = 0
    while seen < CASES:
        kind, name, files = damage(*originals, chance)
        if files == originals[0]:
            continue  # zeros that were zeroed
        seen += 1
        folder = written(tmp_path / "damaged", files)
        with pytest.raises(WeightliftError) as raised:
            open_step(folder)
        assert str(folder) in str(raised.value), (kind, name)
        assert verify_step(folder), (kind, name)


def test_every_bit_of_a_small_one_matters(tmp_path):
    """With any single bit of the manifest, the state or a header changed, the checkpoint is refused."""
    save(tmp_path / "s", 1)
    original = {name: (tmp_path / "s" / name).read_bytes() for name in os.listdir(tmp_path / "s")}
    step = max(1, sum(map(len, original.values())) * 8 // CASES)
    for name, data in original.items():
        for at in range(0, len(data) * 8, step):
            made = bytearray(data)
            made[at // 8] ^= 1 << at % 8
            (tmp_path / "s" / name).write_bytes(made)
            with pytest.raises(WeightliftError):
                open_step(tmp_path / "s")
        (tmp_path / "s" / name).write_bytes(data)
    assert verify_step(tmp_path / "s") == []


def test_the_damaged_tensor_is_named(originals, tmp_path):
    """A change in a tensor's bytes is told by the tensor's name and file; all of them by verify_step."""
    files = dict(originals[0])
    data = bytearray(files[FILES[0]])
    data[_begin(data, "model/v")] ^= 1
    files[FILES[0]] = bytes(data)
    folder = written(tmp_path / "s", files)
    with pytest.raises(WeightliftError, match=r"'model/v': data-00001\.safetensors: its bytes have the hash"):
        open_step(folder)
    data[_begin(data, "model/b")] ^= 1
    (folder / FILES[0]).write_bytes(data)
    problems = verify_step(folder)
    assert {problem.split(": ")[1] for problem in problems} == {"'model/v'", "'model/b'"}


def _begin(data, name):
    """Where the bytes of a tensor begin in a safetensors file."""
    length = 8 + int.from_bytes(data[:8], "little")
    return length + json.loads(data[8:length])[name]["data_offsets"][0]


def test_tensors_that_change_places_are_found(originals, tmp_path):
    """Two tensors of equal size and type that are exchanged, bytes or names, are both named."""
    name = FILES[0]
    data = originals[0][name]
    length = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:length])
    (a, b), (c, d) = header["model/w"]["data_offsets"], header["model/v"]["data_offsets"]
    body = data[length:]
    assert b - a == d - c
    swapped = bytearray(body)
    swapped[a:b], swapped[c:d] = body[c:d], body[a:b]
    files = originals[0] | {name: data[:length] + swapped}
    problems = verify_step(written(tmp_path / "bytes", files))
    assert [problem.split(": ")[1] for problem in problems] == ["'model/w'", "'model/v'"]
    renamed = data[:length].replace(b'"model/w"', b'"model/#"').replace(b'"model/v"', b'"model/w"')
    files = originals[0] | {name: renamed.replace(b'"model/#"', b'"model/v"') + body}
    with pytest.raises(WeightliftError, match="header"):
        open_step(written(tmp_path / "names", files))


def test_only_the_named_tensors_are_read_and_each_is_verified(originals, tmp_path):
    """Of named tensors, damage is found by their own hashes; damage elsewhere in the file does not matter to them."""
    data = bytearray(originals[0][FILES[0]])
    data[_begin(data, "model/b")] ^= 1
    folder = written(tmp_path / "s", originals[0] | {FILES[0]: bytes(data)})
    step = open_step(folder, names=["model/w", "ema/w"])
    whole = open_step(written(tmp_path / "whole", originals[0]))
    assert {name: each.tobytes() for name, each in step.tensors.items()} == {
        name: whole.tensors[name].tobytes() for name in ("model/w", "ema/w")
    }
    with pytest.raises(WeightliftError, match="'model/b'"):
        open_step(folder, names=["model/b"])


def test_unverified_still_checks_what_it_reads(originals, tmp_path):
    """Without verifying, a file of another size, a changed header or state are errors; tensors' bytes are not read."""
    name = FILES[0]
    data = originals[0][name]
    for damaged in (data[:-1], data + b"\0", data[:40] + b"#" + data[41:]):
        with pytest.raises(WeightliftError, match=name):
            open_step(written(tmp_path / "s", originals[0] | {name: damaged}), verify=False)
    with pytest.raises(WeightliftError, match=STATE):
        open_step(written(tmp_path / "s", originals[0] | {STATE: b"{}"}), verify=False)
    changed = data[:-1] + bytes([data[-1] ^ 1])
    step = open_step(written(tmp_path / "s", originals[0] | {name: changed}), verify=False)
    assert not step.verified


def test_files_that_do_not_belong_are_nobodys_business(originals, tmp_path):
    """Files that the manifest does not know, a user's own and what a file system leaves, change nothing."""
    more = {"PINNED": b"", ".nfs0001": b"x", "eval.json": b"{}", "data-00009.safetensors": b"x"}
    folder = written(tmp_path / "s", originals[0] | more)
    step = open_step(folder)
    assert step.verified
    assert not any(record.file == "data-00009.safetensors" for record in step.manifest.tensors.values())
    assert verify_step(folder) == []
