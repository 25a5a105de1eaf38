"""One checkpoint directory, written and removed: from nothing, over others, and among what crashes left."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Mapping

from weightlift.dtypes import DTYPES
from weightlift.errors import SourceError
from weightlift.formats.step import Step, open_step
from weightlift.sources import Memory
from weightlift.tensors import Storage, Tensor
from weightlift.writers.directory import remove_directory
from weightlift.writers.step import write_step

from .scenario import Scenario, digest

Sizes = tuple[int, ...]  # elements of each tensor


def _tensors(seed: int, sizes: Sizes) -> dict[str, Tensor]:
    """Return tensors that the seed determines."""
    noise = random.Random(seed)
    return {
        f"model/{i}.weight": Tensor(
            DTYPES["float32"], (size,), (1,), 0, Storage(str(i), size * 4, Memory(noise.randbytes(size * 4)))
        )
        for i, size in enumerate(sizes)
    }


def _write(path: str, seed: int, sizes: Sizes, most: int) -> None:
    write_step(path, _tensors(seed, sizes), {"weightlift_state": 1, "seed": seed}, step=seed, max_file_bytes=most)


def _digest(step: Step) -> str:
    return digest(
        {name: tensor.tobytes() for name, tensor in step.tensors.items()}
        | {"": repr(sorted(step.state.items())).encode()}
    )


def _read_one(path: str) -> Callable[[str], str | None]:
    def read(folder: str) -> str | None:
        try:
            return _digest(open_step(f"{folder}/{path}"))
        except SourceError:
            return None

    return read


def _one(title: str, before: Callable[[str], None], sizes: Sizes, most: int = 1 << 30, path: str = "a") -> Scenario:
    """Return the scenario of a checkpoint that `write_step` puts at a path."""
    return Scenario(
        title,
        before,
        lambda folder: _write(f"{folder}/{path}", 2, sizes, most),
        _read_one(path),
        again=lambda folder: _write(f"{folder}/{path}", 3, sizes, most),
    )


def _nothing(folder: str) -> None:
    """Nothing was saved."""


def _there(sizes: Sizes, most: int = 1 << 30) -> Callable[[str], None]:
    return lambda folder: _write(f"{folder}/a", 1, sizes, most)


def _only_aside(folder: str) -> None:
    """What a crash between two renames leaves: the older checkpoint under its other name."""
    _write(f"{folder}/a", 1, SMALL, 1 << 30)
    os.rename(f"{folder}/a", f"{folder}/.a.old")


def _leftovers(folder: str) -> None:
    """What several crashes leave: one that is half deleted, one that is older, one that was never done."""
    _write(f"{folder}/a", 0, SMALL, 1 << 30)
    for name in (".a.old", ".a.gone", ".a.1-00000000.part"):
        shutil.copytree(f"{folder}/a", f"{folder}/{name}")
    os.unlink(f"{folder}/.a.gone/MANIFEST.json")
    _write_kept(folder)


def _write_kept(folder: str) -> None:
    """Put another checkpoint in the place of the one that is there, without clearing what lies around it."""
    _write(f"{folder}/b", 1, SMALL, 1 << 30)
    shutil.rmtree(f"{folder}/a")
    os.rename(f"{folder}/b", f"{folder}/a")


def _remove(folder: str) -> None:
    remove_directory(f"{folder}/a")


def _read_all(folder: str) -> str | None:
    """Every checkpoint that is there."""
    found: Mapping[str, str | None] = {name: _read_one(name)(folder) for name in "ab"}
    return repr(found)


def _two(folder: str) -> None:
    _write(f"{folder}/a", 1, SMALL, 4000)
    _write(f"{folder}/b", 2, SMALL, 4000)


SMALL: Sizes = (300, 1200, 7)
MANY: Sizes = (2000, 64, 1500, 3000, 0, 900, 2500)
LARGE: Sizes = (20_000, 300, 30_000, 10, 17_000)  # each large one is a write of its own
LAYERS: Sizes = (1600, 40, 2400, 60, 1100, 1300) * 3

ONE_CHECKPOINT = {
    "step-first": _one("the first, in new folders", _nothing, SMALL, path="runs/x/a"),
    "step-first-files": _one("the first, of several files", _nothing, MANY, 8000),
    "step-first-layers": _one("the first, of ten files", _nothing, LAYERS, 9000, "runs/x/a"),
    "step-large": _one("over another of its name, in many writes", _there(LARGE), LARGE),
    "step-large-files": _one("over another of its name, two files in many writes", _there(LARGE), LARGE, 150_000),
    "step-again": _one("over another of its name", _there(SMALL), SMALL),
    "step-again-files": _one("over another of its name, several files", _there(MANY, 8000), MANY, 8000),
    "step-layers": _one("over another of its name, ten files", _there(LAYERS, 9000), LAYERS, 9000),
    "step-more": _one("over another of its name, of more files", _there(SMALL), LAYERS, 16000),
    "step-again-fewer": _one("over another of its name, of fewer files", _there(MANY, 8000), MANY),
    "step-only-aside": _one("over one that a crash left aside", _only_aside, SMALL),
    "step-leftovers": _one("among what several crashes left", _leftovers, SMALL),
    "step-remove": Scenario("one of two removed", _two, _remove, _read_all),
}
