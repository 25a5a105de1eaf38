"""Runs of a few bytes per part, ways to damage what is saved of them, and stand-ins for collecting and restoring."""

from __future__ import annotations

import os
from types import SimpleNamespace

from weightlift.dtypes import DTYPES
from weightlift.errors import StoreError, UnsupportedError
from weightlift.sources import Memory
from weightlift.tensors import Storage, Tensor
from weightlift.training.state import TrainState


class Run(TrainState):
    """Parts by name, each a short text that is saved as the bytes of a tensor."""


def tensor(text):
    data = text.encode() or b"\0"
    return Tensor(DTYPES["uint8"], (len(data),), (1,), 0, Storage("0", len(data), Memory(data)))


def collect(run, *, select=None, without=()):
    """What `training.save.collect` gives, for these runs."""
    if not all(isinstance(part, str) for part in run.values()):
        raise UnsupportedError("a part that cannot be saved")
    chosen = {part: text for part, text in run.items() if part not in without}
    return SimpleNamespace(
        tensors={f"{part}/w": tensor(text) for part, text in chosen.items()},
        document={"weightlift_state": 1, "parts": {part: {"kind": "value"} for part in chosen}},
        parts=dict.fromkeys(chosen, "value"),
        partial=tuple(part for part in run if part not in chosen),
    )


def restore(step, run, *, plan=None, types=()):
    """What `training.resume.restore` does, for these runs: all parts or none."""
    found = {}
    for part in run:
        if f"{part}/w" not in step.tensors:
            raise StoreError(f"no part {part!r}")
        found[part] = step.tensors[f"{part}/w"].tobytes().decode()
    run.parts.update(found)
    return SimpleNamespace(step=step.manifest.step, notes=())


class Staging:
    """Copies of bytes that cannot change anyway."""

    def stage(self, tensors):
        """The same again."""
        return dict(tensors)


def names(place):
    """What a user sees in a directory."""
    return sorted(path.name for path in place.iterdir() if not path.name.startswith("."))


def _flip(name):
    def flip(folder):
        data = bytearray((folder / name).read_bytes())
        data[-1 if name != "MANIFEST.json" else len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return flip


def _cut(name, nbytes):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:nbytes])


def _remove(name):
    return lambda folder: (folder / name).unlink()


def _instead(name, make):
    def put(folder):
        (folder / name).unlink()
        make(folder / name)

    return put


def _version(folder):
    manifest = folder / "MANIFEST.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'{"weightlift":1', b'{"weightlift":3'))


DATA = "data-00001.safetensors"
damaged = {
    "a flipped bit in the data": _flip(DATA),
    "a flipped bit in the state": _flip("state.json"),
    "a flipped bit in the manifest": _flip("MANIFEST.json"),
    "a flipped bit in the version": _version,
    "data that is cut": _cut(DATA, 20),
    "data that is empty": _cut(DATA, 0),
    "a manifest that is cut": _cut("MANIFEST.json", 30),
    "a manifest that is empty": _cut("MANIFEST.json", 0),
    "no data": _remove(DATA),
    "no state": _remove("state.json"),
    "no manifest": _remove("MANIFEST.json"),
    "a manifest that is a directory": _instead("MANIFEST.json", os.mkdir),
    "a manifest that is a pipe": _instead("MANIFEST.json", os.mkfifo),
}
"""What can happen to a checkpoint on a disk: a function of its directory each."""
