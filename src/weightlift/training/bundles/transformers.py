"""A folder that Hugging Face's Trainer wrote: `checkpoint-500/` with weights, `optimizer.pt`, `scheduler.pt` and more.

What each file is: transformers/trainer.py, `_save_checkpoint` and `_save_rng_state`.
"""

from __future__ import annotations

import json
import os
import re

from ...checkpoint import Checkpoint
from ...errors import MalformedError, UnknownFormatError, WeightliftError
from ...formats import Opening, open_source
from ...limits import Limits
from ...sources import LocalFile
from ...typed import Any
from .base import Bundle, Item, step_of
from .generators import generators
from .items import items_in
from .roles import is_weights

_WEIGHTS = (
    "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin",
    "adapter_model.safetensors", "adapter_model.bin",
)  # fmt: skip
"""Files of weights; the first that is there is taken."""
_TRAINING = ("optimizer.pt", "scheduler.pt", "scaler.pt", "trainer_state.json", "training_args.bin")
_LIVE: dict[str, tuple[Any, str]] = {
    "optimizer.pt": ("optimizer", "optimizer"),
    "scheduler.pt": ("stateful", "scheduler"),
    "scaler.pt": ("stateful", "scaler"),
}
_JSON = ("trainer_state.json", "config.json", "generation_config.json", "adapter_config.json")
_SHARDS = re.compile(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)")
_RNG = re.compile(r"rng_state(_\d+)?\.pth")


def read_folder(folder: str, limits: Limits) -> Bundle:
    """Return the parts of a Trainer's folder.

    Raises:
        UnknownFormatError: it is no such folder. Everything that opening its files raises.
    """
    names = sorted(os.listdir(folder))
    weights = next((name for name in _WEIGHTS if name in names), None)
    if weights is None or not any(name in names for name in _TRAINING):
        raise UnknownFormatError(
            "a folder without a training bundle in it",
            expected=f"weights ({', '.join(_WEIGHTS[1::2])}) and {', '.join(_TRAINING)}",
            remedy="give the file itself",
            where=folder,
        )
    model = _open(folder, weights, limits)
    if not is_weights(model.tree, model):
        raise UnknownFormatError("no weights", expected="tensors by name", where=os.path.join(folder, weights))
    bundle = Bundle("transformers", [Item("module", model.tree, (weights,), "model", model)], model)
    states = [name for name in names if _RNG.fullmatch(name)]
    for name in names:
        if name == weights or _SHARDS.fullmatch(name):
            continue
        if name in _LIVE or name == "training_args.bin" or name in states:
            bundle.items += _items(folder, name, limits, bundle, is_only=states == [name])
        elif name in _JSON:
            bundle.items.append(Item("value", _json(folder, name, limits), (name,), name.removesuffix(".json"), model))
        elif os.path.isdir(os.path.join(folder, name)):
            bundle.left.append(f"the folder {name!r}")
        else:
            nbytes = os.path.getsize(os.path.join(folder, name))
            bundle.left.append(f"{name!r} ({nbytes:,} bytes), which is not pickled: copy it")
    state = next((item.value for item in bundle.items if item.name == "trainer_state"), None)
    bundle.step = step_of(state.get("global_step")) if isinstance(state, dict) else None
    return bundle


def _items(folder: str, name: str, limits: Limits, bundle: Bundle, *, is_only: bool) -> list[Item]:
    """Return the part of one pickled file."""
    opened = _open(folder, name, limits)
    tree, path = opened.tree, (name,)
    if name in _LIVE and isinstance(tree, dict):
        kind, part = _LIVE[name]
        return [Item(kind, tree, path, part, opened)]
    if is_only and isinstance(tree, dict):
        rng, keys, notes = generators(tree, path)
        if rng is not None:
            bundle.notes += notes
            rest = {key: value for key, value in tree.items() if key not in keys and value is not None}
            rng.home = opened
            return [rng, *([Item("value", rest, path, "rng_state", opened)] if rest else [])]
    made = items_in(tree, bundle, path, opened) if name in _LIVE else [Item("value", tree, path, "", opened)]
    for item in made:
        item.name = item.name or name.rpartition(".")[0]
    return made


def _open(folder: str, name: str, limits: Limits) -> Checkpoint:
    try:
        return open_source(LocalFile(os.path.join(folder, name)), Opening(limits))
    except WeightliftError as error:
        raise error.at(folder) from None


def _json(folder: str, name: str, limits: Limits) -> Any:
    source = LocalFile(os.path.join(folder, name))
    try:
        return json.loads(source.read_up_to(0, limits.text_bytes).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"no JSON ({error})", where=os.path.join(folder, name)) from None
