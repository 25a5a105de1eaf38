"""Tensors that several ranks wrote in blocks, under the names that they had as wholes."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import MalformedError, WeightliftError, shown
from ..tensors import Tensor
from ..tensors.joining import join
from ..typed import Any
from ..writers.manifest import Shard, TensorRecord


def with_joined(tensors: Mapping[str, Any], records: Mapping[str, TensorRecord], ties: Any = None) -> dict[str, Any]:
    """Return the tensors with every block replaced by the whole that it belongs to. Reads nothing.

    `ties`: further names of wholes, name -> the name that it was written under.

    Raises:
        MalformedError: blocks that do not make a whole, or a whole whose name another tensor has; names it.
    """
    blocks = blocks_of(records)
    made: dict[str, Any] = {}
    for name, tensor in tensors.items():
        shard = shard_of(records, name)
        if shard is None:
            if name in blocks:
                raise MalformedError(f"{name!r} is there whole and in blocks", expected="one of them")
            made[name] = tensor
        elif shard.of not in made:
            made[shard.of] = _whole(shard.of, blocks[shard.of], tensors)
    return made | _tied(made, {} if ties is None else ties)


def _tied(made: Mapping[str, Any], ties: Any) -> dict[str, Any]:
    if not isinstance(ties, dict) or any(not isinstance(kept, str) or kept not in made for kept in ties.values()):
        raise MalformedError(f"ties {shown(ties)}", expected="name -> name of a tensor")
    if name := next((name for name in ties if name in made), None):
        raise MalformedError(f"{name!r} is tied to {ties[name]!r}, and there itself", expected="one of them")
    return {name: made[kept] for name, kept in ties.items()}


def blocks_of(records: Mapping[str, TensorRecord]) -> dict[str, list[Shard]]:
    """Return the blocks of every tensor that was written in blocks, by its name."""
    found: dict[str, list[Shard]] = {}
    for record in records.values():
        if record.shard is not None:
            found.setdefault(record.shard.of, []).append(record.shard)
    return found


def shard_of(records: Mapping[str, TensorRecord], name: str) -> Shard | None:
    """Return the block that a name in a data file stands for, or None where it is a whole tensor."""
    record = records.get(name)
    return None if record is None else record.shard


def _whole(name: str, blocks: list[Shard], tensors: Mapping[str, Any]) -> Any:
    shape = blocks[0].shape
    pieces = []
    for shard in blocks:
        block = tensors.get(shard.name)
        if shard.shape != shape or not isinstance(block, Tensor) or block.shape != shard.sizes:
            raise MalformedError(f"block {shard.name!r} is not what the manifest says", expected=f"{list(shard.sizes)}")
        pieces.append((shard.offsets, block))
    try:
        return join(shape, pieces)
    except WeightliftError as error:
        raise error.at(repr(name)) from None
