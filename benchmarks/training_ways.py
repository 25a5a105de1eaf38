"""One way to save, to save without waiting, or to load, timed in this process; the answer is a line of JSON.

    python benchmarks/training_ways.py TASK WAY SIZE FOLDER TIMES

Tasks: `save`, `stall`, `make` (writes what is loaded), `cold` and `warm` loads. Every way is a function here.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import page_cache
from training_child import Nothing, Skipped, clear, measure, say
from training_state import Live, live

CHUNK = 8 << 20
Way = Callable[[Live, str], None]


# saves: durable when they return


def raw_save(state: Live, path: str) -> None:
    """The same bytes, one file, by 8 MiB."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _, tensor in state.tensors():
        view = memoryview(tensor.detach().reshape(-1).numpy()).cast("B")
        for start in range(0, len(view), CHUNK):
            part = view[start : start + CHUNK]
            while part:
                part = part[os.write(descriptor, part) :]
    os.fsync(descriptor)
    os.close(descriptor)


def weightlift_save(state: Live, path: str) -> None:
    _weightlift("save").save(path, **state.parts)


def torch_save(state: Live, path: str) -> None:
    import torch

    with open(path, "wb") as file:
        torch.save(state.state_dict(), file)
        file.flush()
        os.fsync(file.fileno())


def safetensors_save(state: Live, path: str) -> None:
    """Tensors only: the options of the optimizer are not written."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach() for name, tensor in state.tensors()}, path)
    _flush(path)


def dcp_save(state: Live, path: str) -> None:
    import torch.distributed.checkpoint as dcp

    dcp.save(state.state_dict(), checkpoint_id=path, no_dist=True)  # its FileSystemWriter flushes files by itself


def replacing(save: Way) -> Way:
    """The same into a temporary file, which then takes the name and whose folder is flushed too."""

    def durable(state: Live, path: str) -> None:
        save(state, path + ".tmp")
        os.replace(path + ".tmp", path)
        _flush(os.path.dirname(path))

    return durable


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _weightlift(name: str) -> Any:
    import weightlift

    if not hasattr(weightlift, name):
        raise Skipped(f"this weightlift has no {name}")
    return weightlift


# stalls: each gives a function that starts a save, which gives the function that waits for its end

Start = Callable[[Live, str], Nothing]


def memory_copy() -> Start:
    """What nobody who leaves the weights to training can be quicker than."""
    copies: dict[str, Any] = {}

    def start(state: Live, path: str) -> Nothing:
        del path
        for name, tensor in state.tensors():
            if name in copies:
                copies[name].copy_(tensor.detach())
            else:
                copies[name] = tensor.detach().clone()
        return lambda: None

    return start


def weightlift_store() -> Start:
    wl = _weightlift("CheckpointStore")
    kept: dict[str, Any] = {}

    def start(state: Live, path: str) -> Nothing:
        if not kept:
            kept["store"] = wl.CheckpointStore(os.path.join(os.path.dirname(path), "store"), keep=1)
        step = kept["step"] = kept.get("step", 0) + 1
        saving = kept["store"].save(wl.TrainState(**state.parts), step=step, wait=False)
        if not saving.staged:
            raise SystemExit("the call came back before the weights may change")
        return saving.wait

    return start


def dcp_async(*, cached: bool = False, pinned: bool = False) -> Callable[[], Start]:
    """DCP as it is, or with a stager that is kept with its buffers. The cache of its writer needs CUDA always."""

    def ways() -> Start:
        import torch
        import torch.distributed.checkpoint as dcp
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

        if pinned and not torch.cuda.is_available():
            raise Skipped("pinned memory needs CUDA")
        stager = DefaultStager(StagingOptions(pinned, False, False, pinned)) if cached or pinned else None

        def start(state: Live, path: str) -> Nothing:
            future = dcp.async_save(state.state_dict(), checkpoint_id=path, async_stager=stager, no_dist=True)
            return future.result

        return start

    return ways


# loads: into a live model and an optimizer that has no moments yet


def raw_read(*, fresh: bool) -> Callable[[], Way]:
    """Every byte of the raw file, into memory that is already there or that has to be found first."""

    def ways() -> Way:
        kept: list[bytearray] = []

        def load(state: Live, path: str) -> None:
            del state
            if fresh or not kept:
                kept[:] = [bytearray(os.path.getsize(path))]
            view, at = memoryview(kept[0]), 0
            with open(path, "rb", buffering=0) as file:
                while got := file.readinto(view[at : at + CHUNK]):
                    at += got

        return load

    return ways


def weightlift_resume(state: Live, path: str) -> None:
    _weightlift("resume").resume(path, **state.parts)


def torch_load(*, mmap: bool) -> Callable[[], Way]:
    def load(state: Live, path: str) -> None:
        import torch

        loaded = torch.load(path, mmap=mmap, weights_only=True)
        for name, part in state.parts.items():
            part.load_state_dict(loaded[name])
        state.touch()

    return lambda: load


def dcp_load(state: Live, path: str) -> None:
    """Straight into a state dict whose moments were made by hand: the quickest that was found."""
    import torch.distributed.checkpoint as dcp

    state.fill_moments(empty=True)
    wanted = state.state_dict()
    dcp.load(wanted, checkpoint_id=path, no_dist=True)
    for name, part in state.parts.items():
        part.load_state_dict(wanted[name])


def dcp_load_as_told(state: Live, path: str) -> None:
    """As its tutorial has it: get_state_dict, load, set_state_dict. Names of the checkpoint are its own."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    model, optimizer = get_state_dict(state.model, state.optimizer)
    wanted = {"model": model, "optimizer": optimizer}
    dcp.load(wanted, checkpoint_id=path, no_dist=True)
    set_state_dict(state.model, state.optimizer, model_state_dict=model, optim_state_dict=optimizer)


def dcp_save_as_told(state: Live, path: str) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict

    model, optimizer = get_state_dict(state.model, state.optimizer)
    dcp.save({"model": model, "optimizer": optimizer}, checkpoint_id=path, no_dist=True)


SAVES: dict[str, Way] = {
    "write + fsync": raw_save,
    "weightlift": weightlift_save,
    "torch.save + fsync": torch_save,
    "safetensors + fsync": safetensors_save,
    "DCP": dcp_save,
}
SMALL: dict[str, Way] = {
    "write + fsync": raw_save,
    "write + fsync + replace": replacing(raw_save),
    "weightlift": weightlift_save,
    "torch.save + fsync": torch_save,
    "torch.save + fsync + replace": replacing(torch_save),
    "safetensors + fsync + replace": replacing(safetensors_save),
    "DCP": dcp_save,
}
STALLS: dict[str, Callable[[], Start]] = {
    "copy in memory": memory_copy,
    "weightlift": weightlift_store,
    "DCP": dcp_async(),
    "DCP, stager kept": dcp_async(cached=True),
    "DCP, stager kept, pinned": dcp_async(pinned=True),
}
LOADS: dict[str, tuple[Way, Callable[[], Way]]] = {  # what writes it, what loads it
    "read": (raw_save, raw_read(fresh=False)),
    "read, fresh memory": (raw_save, raw_read(fresh=True)),
    "weightlift": (weightlift_save, lambda: weightlift_resume),
    "torch.load": (torch_save, torch_load(mmap=False)),
    "torch.load(mmap=True)": (torch_save, torch_load(mmap=True)),
    "DCP": (dcp_save, lambda: dcp_load),
    "DCP, as its tutorial": (dcp_save_as_told, lambda: dcp_load_as_told),
}


def run(task: str, way: str, size: str, folder: str, times: str) -> dict[str, Any]:
    """Return what a task says, see `measure`."""
    state = live(size)
    path = os.path.join(folder, "out")
    if task == "make":
        LOADS[way][0](state, path)
        with open(folder + ".json", "w", encoding="utf-8") as file:
            json.dump(state.fingerprint(), file)
        return {}
    if task == "save":
        save = (SMALL if size == "small" else SAVES)[way]
        once = (
            (lambda _: None) if size == "small" else (lambda _: clear(path))
        )  # a small one takes the place of the last
        return measure(lambda: save(state, path), int(times), before=once)
    if task == "stall":
        return _stall(state, STALLS[way](), path, int(times))
    return _load(state, LOADS[way][1](), folder, int(times), cold=task == "cold", reads_only=way.startswith("read"))


def _stall(state: Live, start: Start, path: str, times: int) -> dict[str, Any]:
    ends: list[Nothing] = []

    def go() -> None:
        ends.append(start(state, path))

    def after() -> None:
        ends.pop()()

    return measure(go, times, before=lambda _: clear(path), after=after)


def _load(state: Live, load: Way, folder: str, times: int, *, cold: bool, reads_only: bool) -> dict[str, Any]:
    path = os.path.join(folder, "out")
    with open(folder + ".json", encoding="utf-8") as file:
        wanted = json.load(file)

    def before(_: int) -> None:
        state.forget()
        (page_cache.drop if cold else page_cache.warm)(path)

    told = measure(lambda: load(state, path), times, before=before)
    if not reads_only and state.fingerprint() != wanted:
        raise SystemExit("what was loaded is not what was saved")
    return told


if __name__ == "__main__":
    folder = sys.argv[4]
    os.makedirs(folder, exist_ok=True)
    say(run, *sys.argv[1:])
    if sys.argv[1] in {"save", "stall"}:
        shutil.rmtree(folder)
