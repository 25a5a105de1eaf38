"""What one rank brings to a checkpoint: documents, the tensors that torch's planner shares out, and what is its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ...errors import UnsupportedError, shown
from ...tensors.lazy import Tensor
from ...typed import Any
from ...values import dataclass
from ...writers.hashing import DEFAULT_HASH, hasher
from ...writers.step import tensor_chunks
from ..parts import Reading, kind_of
from ..parts.several import items_of
from ..save import Select, collect, modules_of, parameter_names
from ..state import TrainState
from .encoder import RankEncoder

DATA = "data"
_OWN_KINDS = ("rng", "generator")


@dataclass(frozen=True, slots=True)
class Share:
    """The part of one rank. `planned` goes through torch's planner; `own` is written by this rank as it is."""

    planned: Mapping[str, Any]
    """Name -> live torch tensor: shards, and the parameters and moments that all ranks have."""
    own: Mapping[str, Any]
    """Name -> lazy tensor."""
    shared: Mapping[str, Any]
    """Documents of the parts that are the same on all ranks."""
    apart: Mapping[str, Any]
    """Documents of this rank's own parts, by `rank/<r>/<part>`."""
    digests: Mapping[str, str]
    """Part -> hash of what has to be the same on all ranks."""
    buffers: Mapping[str, Any]
    """Name -> lazy tensor of a module that each rank may have of its own: running statistics."""
    ties: Mapping[str, str]
    """Name of a sharded tensor -> the name that it is written under."""
    parts: Mapping[str, str]
    partial: tuple[str, ...]


def is_own(name: str, part: Any) -> bool:
    """Whether a part is each rank's own: random states, and the position in the data."""
    if name.rpartition("/")[2] == DATA:
        return True
    kind = kind_of(name, part).name
    if kind == "several":
        return all(is_own(f"{name}/{key}", item) for key, item in items_of(part).items())
    return kind in _OWN_KINDS


def read_share(run: TrainState, rank: int, select: Select, without: Iterable[str]) -> Share:
    """Return what this rank brings. Reads live objects and changes nothing.

    Raises:
        UnsupportedError: what cannot be written, by its path.
    """
    _make_whole(run)
    left = [without] if isinstance(without, str) else list(without)
    together: dict[str, Any] = {}
    apart: dict[str, Any] = {}
    for name, part in run.items():
        (apart if is_own(name, part) else together)[name] = part
    if not together:
        raise UnsupportedError("a run of nothing but what is each rank's own", remedy="give at least model=")
    if unknown := [name for name in left if name not in run]:
        raise UnsupportedError(f"without={unknown}", expected=f"parts of the run: {', '.join(run)}")
    encoder = RankEncoder()
    collected = collect(
        TrainState(**together), select=select, without=[name for name in left if name in together], encoder=encoder
    )
    documents = dict(collected.document["parts"])
    _refuse_stray_shards(encoder, documents, run)
    planned = _planned(encoder, documents, run)
    loose = {name: held for name, held in encoder.tensors.items() if name not in planned and name not in encoder.ties}
    digests = {name: _digest(name, document, loose) for name, document in documents.items()}
    modules = tuple(f"{name}/" for name in modules_of(run))
    buffers = {name: held for name, held in loose.items() if name.startswith(modules) and isinstance(held, Tensor)}
    own, written = _read_apart({name: part for name, part in apart.items() if name not in left}, rank)
    kinds = dict(collected.parts) | {name: document["kind"] for name, document in written.items()}
    if rank == 0:
        own |= loose
    partial = (*left, *(name for name in collected.partial if name not in left))
    return Share(planned, own, documents, written, digests, buffers, encoder.ties, kinds, partial)


def _make_whole(run: TrainState) -> None:
    """Let modules that gather their weights for computing give them back: `fully_shard` does at a state dict."""
    for name, module in modules_of(run).items():
        if any(cls.__name__ == "FullyShardedDataParallel" for cls in type(module).__mro__):
            raise UnsupportedError(
                "a FullyShardedDataParallel, whose names are not those of the model",
                remedy="use torch.distributed.fsdp.fully_shard",
                where=name,
            )
        module.state_dict(keep_vars=True)


def _read_apart(parts: Mapping[str, Any], rank: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (tensors, documents) of this rank's own parts, each under `rank/<r>/`."""
    encoder = RankEncoder()
    reading = Reading(encoder, {}, lambda *_: True)
    documents = {}
    for name, part in parts.items():
        kind = kind_of(name, part)
        documents[f"rank/{rank}/{name}"] = {"kind": kind.name, **kind.read(part, f"rank/{rank}/{name}", reading)}
    encoder.check()
    return dict(encoder.tensors), documents


def _planned(encoder: RankEncoder, documents: Mapping[str, Any], run: TrainState) -> dict[str, Any]:
    """Return what torch's planner shares out among the ranks: all shards, and parameters and their moments.

    Buffers stay with rank 0: each rank has statistics of its own, and a mix of several ranks' would be nobody's.
    What shares memory stays together, and there too.
    """
    weights = set(parameter_names(run).values())
    begins = tuple(
        f"{name}/{weight}/"
        for name, document in documents.items()
        if document["kind"] == "optimizer"
        for weight in document["state"]
    )
    counts: dict[int, int] = {}
    for held in encoder.tensors.values():
        if isinstance(held, Tensor):
            counts[id(held.storage)] = counts.get(id(held.storage), 0) + 1
    planned = dict(encoder.sharded)
    for name, value in encoder.live.items():
        held = encoder.tensors[name]
        if not isinstance(held, Tensor) or counts[id(held.storage)] > 1 or not held.shape or not held.numel:
            continue
        plain = held.is_contiguous and not (held.conj or held.neg or held.class_name) and held.dtype.safetensors
        if plain and (name in weights or name.startswith(begins or ("\0",))):
            planned[name] = value.detach()
    return planned


def _refuse_stray_shards(encoder: RankEncoder, documents: Mapping[str, Any], run: TrainState) -> None:
    """Refuse shards that a resume could not lay out again: it does as the live weights are laid out."""
    weights = {name: each for module, live in modules_of(run).items() for name, each in _entries(module, live).items()}
    for name, value in encoder.sharded.items():
        like = weights.get(name)
        for part, document in documents.items():
            if document["kind"] == "optimizer" and name.startswith(f"{part}/"):
                owner = next((each for each in document["state"] if name.startswith(f"{part}/{each}/")), None)
                like = weights.get(owner) if owner else None
        if like is None or like.shape != value.shape:
            raise UnsupportedError(
                f"{name!r} is sharded, and is neither a weight nor of the shape of its weight",
                expected="shards of weights, and of what an optimizer keeps element by element",
                remedy="save its full_tensor(), or leave that part out",
            )


def _entries(name: str, module: Any) -> dict[str, Any]:
    from ...tensors.torch_states import unwrapped

    return {f"{name}/{key}": value for key, value in unwrapped(module).state_dict(keep_vars=True).items()}


def _digest(name: str, document: Mapping[str, Any], loose: Mapping[str, Any]) -> str:
    """Return the hash of a part's document, and of the tensors in it where it is no module."""
    made = hasher(DEFAULT_HASH)()
    made.update(json.dumps(document, sort_keys=True).encode())
    if document["kind"] != "module":
        for key, held in loose.items():
            if key.startswith(f"{name}/") and hasattr(held, "storage") and not held.absent:
                made.update(tensor_digest(held).encode())
    return str(made.hexdigest())


def tensor_digest(held: Any) -> str:
    """Return the hash of a lazy tensor's bytes."""
    made = hasher(DEFAULT_HASH)()
    for chunk in tensor_chunks(held):
        made.update(chunk)
    return made.hexdigest()


def refuse_differences(digests: list[Mapping[str, str]]) -> None:
    """Refuse parts that are written once and are not the same on all ranks.

    Raises:
        UnsupportedError: names the part, and the ranks that differ from rank 0.
    """
    for name in dict.fromkeys(key for each in digests for key in each):
        others = [rank for rank, each in enumerate(digests) if each.get(name) != digests[0].get(name)]
        if others:
            raise UnsupportedError(
                f"{name!r} is not the same on rank 0 and on rank {', '.join(map(str, others[:6]))}",
                expected="one value for all ranks",
                remedy="make it equal (reduce it over the ranks), or give what is each rank's own as data=",
                where=shown(name, 60),
            )
