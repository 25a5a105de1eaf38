"""How checkpoints are saved today, each read back as its users would.

Where a tool keeps a folder per checkpoint, the reader is kind: it takes the newest that loads without an error.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from .scenario import Scenario, digest

SHAPES = {"embed.weight": (96, 64), "layer.weight": (64, 64), "layer.bias": (64,), "head.weight": (10, 64)}


def _state(seed: int) -> dict[str, Any]:
    """Return a state dict of 44 KB that the seed determines."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def _digest(state: dict[str, Any]) -> str:
    return digest({name: value.numpy().tobytes() for name, value in state.items()})


def _newest(folders: Iterable[str], load: Callable[[str], str]) -> str | None:
    """Return what the last folder holds that loads; None where there are none; the last error where none loads."""
    problem: BaseException | None = None
    for folder in sorted(folders, reverse=True):
        try:
            return load(folder)
        except BaseException as error:  # noqa: BLE001, torch's CheckpointException is no Exception
            problem = error
    if problem:
        raise problem
    return None


# One file.


def _torch_save(path: str, seed: int) -> None:
    import torch

    torch.save(_state(seed), path)


def _torch_load(folder: str) -> str | None:
    import torch

    path = f"{folder}/model.pt"
    return _digest(torch.load(path, weights_only=True)) if os.path.exists(path) else None


def _torch_before(folder: str) -> None:
    _torch_save(f"{folder}/model.pt", 1)


def _torch_in_place(folder: str) -> None:
    _torch_save(f"{folder}/model.pt", 2)


def _torch_replace(folder: str) -> None:
    _torch_save(f"{folder}/model.pt.tmp", 2)
    os.replace(f"{folder}/model.pt.tmp", f"{folder}/model.pt")


def _torch_fsync_replace(folder: str) -> None:
    import torch

    with open(f"{folder}/model.pt.tmp", "wb") as file:
        torch.save(_state(2), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{folder}/model.pt.tmp", f"{folder}/model.pt")


def _safetensors_save(seed: int) -> Callable[[str], None]:
    def save(folder: str) -> None:
        from safetensors.torch import save_file

        save_file(_state(seed), f"{folder}/model.safetensors")

    return save


def _safetensors_load(folder: str) -> str | None:
    from safetensors.torch import load_file

    path = f"{folder}/model.safetensors"
    return _digest(load_file(path)) if os.path.exists(path) else None


# torch.distributed.checkpoint, one process.


def _dcp_save(name: str, seed: int) -> Callable[[str], None]:
    def save(folder: str) -> None:
        import torch.distributed.checkpoint as dcp

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcp.save(_state(seed), storage_writer=dcp.FileSystemWriter(f"{folder}/{name}"))

    return save


def _dcp_load(folder: str) -> str | None:
    import torch.distributed.checkpoint as dcp

    def load(path: str) -> str:
        state = _state(3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcp.load(state, storage_reader=dcp.FileSystemReader(path))
        return _digest(state)

    return _newest((entry.path for entry in os.scandir(folder) if entry.is_dir()), load)


# Orbax.


def _orbax_manager(folder: str) -> Any:
    import orbax.checkpoint as ocp

    # A handler by name: without one the manager guesses from the newest folder what a checkpoint is made of,
    # and where a crash left that folder torn it then refuses the whole ones too.
    return ocp.CheckpointManager(os.path.join(folder, "run"), item_handlers=ocp.StandardCheckpointHandler())


def _orbax_save(step: int) -> Callable[[str], None]:
    def save(folder: str) -> None:
        import numpy as np
        import orbax.checkpoint as ocp

        random = np.random.default_rng(step)
        state = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in SHAPES.items()}
        with _orbax_manager(folder) as manager:
            manager.save(step, args=ocp.args.StandardSave(state))
            manager.wait_until_finished()

    return save


def _orbax_load(folder: str) -> str | None:
    import numpy as np
    import orbax.checkpoint as ocp

    blank = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    with _orbax_manager(folder) as manager:

        def load(step: str) -> str:
            found = manager.restore(int(step), args=ocp.args.StandardRestore(blank))
            return digest({name: np.asarray(value).tobytes() for name, value in found.items()})

        return _newest((f"{step:06}" for step in manager.all_steps()), load)


PEERS = {
    "torch-in-place": Scenario("`torch.save(state, path)`", _torch_before, _torch_in_place, _torch_load, ("torch",)),
    "torch-replace": Scenario(
        "`torch.save` to another name, `os.replace`", _torch_before, _torch_replace, _torch_load, ("torch",)
    ),
    "torch-fsync-replace": Scenario(
        "`torch.save` to another name, `os.fsync`, `os.replace`",
        _torch_before,
        _torch_fsync_replace,
        _torch_load,
        ("torch",),
    ),
    "safetensors": Scenario(
        "`safetensors.torch.save_file(state, path)`",
        _safetensors_save(1),
        _safetensors_save(2),
        _safetensors_load,
        ("torch", "safetensors"),
    ),
    "dcp-new": Scenario(
        "`torch.distributed.checkpoint.save`, a new folder", _dcp_save("1", 1), _dcp_save("2", 2), _dcp_load, ("torch",)
    ),
    "dcp-again": Scenario(
        "`torch.distributed.checkpoint.save`, the same folder",
        _dcp_save("1", 1),
        _dcp_save("1", 2),
        _dcp_load,
        ("torch",),
    ),
    "orbax": Scenario("Orbax `CheckpointManager.save`", _orbax_save(1), _orbax_save(2), _orbax_load, ("orbax",)),
}
