"""Real training bundles convert, or say clearly why not; those with an optimizer go on as torch would.

Files are taken as in test_corpus.py. The models' classes are not here: a stand-in has their parameters by name.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.formats.step import verify_step
from weightlift.mapping.optimizer_groups import HOW
from weightlift.mapping.optimizer_names import parameters_of

from pickled_bundles import differences

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("WEIGHTLIFT_CORPUS", ROOT / ".corpus"))
FILES = sorted(p for p in FOLDER.glob("*") if p.is_file() and "__" in p.name) if FOLDER.is_dir() else []
needs_files = pytest.mark.skipif(not FILES, reason="no real checkpoints here: make corpus")

# File -> what the conversion says: the optimizers do not train all of the weights, and no names were saved.
UNNAMED = {
    "deepmd-kit__dpa4-pretrained.pt": "66 parameters without names; the source has 85",
    "rl-baselines3-zoo__PandaReach-v1.zip": "--names actor.optimizer=FILE --names critic.optimizer=FILE",
    "sevenn__sevennet_0_11Jul2024.pth": "34 parameters without names; the source has 121",
}
# File -> (where the weights are, where the optimizer, its class).
TRAINED = {
    "Pytorch_Retinaface__model_best.pth.tar": (["state_dict"], ["optimizer"], torch.optim.SGD),
    "aegnn__last.ckpt": (["state_dict"], ["optimizer_states", 0], torch.optim.Adam),
    "cgcnn__band-gap.pth.tar": (["state_dict"], ["optimizer"], torch.optim.SGD),
    "chgnet__0.3.0.pth.tar": (["model", "state_dict"], ["optimizer"], torch.optim.Adam),
    "chgnet__train-mps.pth.tar": (["model", "state_dict"], ["optimizer"], torch.optim.Adam),
    "opacus__checkpoint.tar": (["state_dict"], ["optimizer"], torch.optim.SGD),
}
UNSAFE = ("aegnn__last.ckpt", "opacus__checkpoint.tar")  # torch's safe loader refuses a class or a scalar in them


@needs_files
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_file_converts_or_says_what_to_give(path, tmp_path):
    """What is written verifies; what is refused leaves nothing behind."""
    out = tmp_path / "new"
    if path.name in UNNAMED:
        with pytest.raises(wl.WeightliftError) as error:
            wl.convert(path, out)
        assert UNNAMED[path.name] in str(error.value)
        assert not out.exists()
        return
    done = wl.convert(path, out)
    assert verify_step(out) == []
    weights = sum(len(state_dict) for state_dict in wl.open(path).state_dicts.values())
    assert sum(part.tensors for part in done.parts) >= (weights and 1)


class Standin(nn.Module):
    """A module with these entries, under these names."""

    def __init__(self, entries, parameters):
        super().__init__()
        for name, value in entries.items():
            module = self
            *path, last = name.split(".")
            for word in path:
                if word not in module._modules:
                    module.add_module(word, nn.Module())
                module = module._modules[word]
            if name in parameters:
                module.register_parameter(last, nn.Parameter(torch.zeros_like(value)))
            else:
                module.register_buffer(last, torch.zeros_like(value))


@needs_files
@pytest.mark.parametrize("name", TRAINED)
def test_a_real_optimizer_is_what_torch_makes_of_it(name, tmp_path):
    """Every weight, moment and option is bitwise that of `load_state_dict`; how it is computed is the live one's."""
    if not (FOLDER / name).exists():
        pytest.skip("not in this corpus")
    weights, state, cls = TRAINED[name]
    done = wl.convert(FOLDER / name, tmp_path / "new")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = (
            plain(wl.open(FOLDER / name).tree)
            if name in UNSAFE
            else torch.load(FOLDER / name, map_location="cpu", weights_only=True)
        )
    entries, saved = at(old, weights), at(old, state)
    entries = {key.removeprefix("module."): value for key, value in entries.items()}
    parameters = [key.removeprefix("module.") for key in parameters_of(wl.open(FOLDER / name).state_dict())]
    runs = []
    for _ in range(2):
        model = Standin(entries, parameters)
        held = dict(model.named_parameters())
        runs.append((model, cls([held[key] for key in parameters], lr=1.0)))
    runs[0][0].load_state_dict(entries)
    runs[0][1].load_state_dict(saved)
    wl.resume(tmp_path / "new", model=runs[1][0], optimizer=runs[1][1])
    found = [path for path in differences(runs[1], runs[0]) if path.rpartition(".")[2] not in HOW]
    assert found == []
    assert done.left == ()


def at(value, path):
    for key in path:
        value = value[key]
    return value


def plain(value):
    """The tree with torch's tensors, for a file that torch's safe loader does not read."""
    if isinstance(value, wl.Tensor):
        return value.torch()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, list | tuple) else value
