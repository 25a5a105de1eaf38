"""Bits that change on the disk: who notices on load. Needs an interpreter with torch and safetensors.

Each way saves the same state once; then one bit somewhere in its files is changed, the state is loaded, and the bit is
changed back. `noticed` is an error, `harmless` the same tensors (padding, names that nobody reads), `silent` others.
"""

from __future__ import annotations

import argparse
import logging
import random
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.distributed import checkpoint as dcp

import weightlift as wl


def state():
    """Tensors of several types, 1 MB in all."""
    torch.manual_seed(0)
    made = {f"layer.{i}.weight": torch.randn(64, 128) for i in range(24)}
    return made | {"half": torch.randn(999).half(), "count": torch.arange(7)}


def _load_torch(folder, *, mmap=False):
    return torch.load(folder / "state.pt", weights_only=True, mmap=mmap)


def _load_dcp(folder):
    into = {name: torch.zeros_like(value) for name, value in state().items()}
    dcp.load(into, checkpoint_id=folder)
    return into


class _Holder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name, value in state().items():
            self.register_buffer(name.replace(".", "_"), torch.zeros_like(value))


def _save_ours(folder):
    held = _Holder()
    held.load_state_dict({name.replace(".", "_"): value for name, value in state().items()})
    wl.save(folder / "state", model=held)


def _load_ours(folder):
    held = _Holder()
    wl.resume(folder / "state", model=held)
    return dict(zip(state(), held.state_dict().values(), strict=True))


WAYS = {
    "`torch.load`": (lambda folder: torch.save(state(), folder / "state.pt"), _load_torch),
    "`torch.load(mmap=True)`": (
        lambda folder: torch.save(state(), folder / "state.pt"),
        lambda folder: _load_torch(folder, mmap=True),
    ),
    "safetensors": (
        lambda folder: save_file(state(), folder / "state.safetensors"),
        lambda folder: load_file(folder / "state.safetensors"),
    ),
    "`torch.distributed.checkpoint`": (lambda folder: dcp.save(state(), checkpoint_id=folder), _load_dcp),
    "`wl.resume`": (_save_ours, _load_ours),
}


def outcomes(save, load, folder, count, seed=1):
    """Return how many of `count` changed bits were noticed, harmless, silent."""
    save(folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    sizes = [path.stat().st_size for path in files]
    draw, wanted, found = random.Random(seed), state(), {"noticed": 0, "harmless": 0, "silent": 0}
    for _ in range(count):
        path = draw.choices(files, sizes)[0]
        at, bit = draw.randrange(path.stat().st_size), 1 << draw.randrange(8)
        _flip(path, at, bit)
        try:
            loaded = load(folder)
            same = loaded.keys() == wanted.keys() and all(_same(loaded[name], wanted[name]) for name in wanted)
            found["harmless" if same else "silent"] += 1
        except BaseException as error:  # DCP raises one that is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            found["noticed"] += 1
        _flip(path, at, bit)
    return found


def _same(left, right):
    return left.dtype == right.dtype and left.shape == right.shape and left.tolist() == right.tolist()


def _flip(path, at, bit):
    with open(path, "r+b", buffering=0) as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bit]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    count = parser.parse_args().count
    logging.disable()
    print("| load | bits changed | noticed | harmless | silent |\n|---|---|---|---|---|")
    for name, (save, load) in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = outcomes(save, load, Path(folder), count)
        print(
            f"| {name} | {count:,} | {found['noticed']:,} | {found['harmless']:,} | {found['silent']:,} |", flush=True
        )


if __name__ == "__main__":
    main()
