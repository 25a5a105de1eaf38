"""Our container behind torch.distributed.checkpoint's `StorageReader`: what the planner asks for, verified."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ...errors import MalformedError
from ...formats.joined import blocks_of
from ...formats.step import Step, open_step
from ...tensors.torch_modules import as_torch_value
from ...tensors.torch_states import torch_dtype
from ...typed import Any
from ...writers.manifest import Shard


class Reader:
    """One load on one rank. Every block that is needed is read whole, once, and its hash checked before it is used."""

    def __init__(self, step: Step, names: Iterable[str]) -> None:
        self.step = step
        self.names = tuple(names)
        blocks = blocks_of(step.manifest.tensors)
        self._blocks = {name: blocks.get(name) or [_all_of(name, step.tensors[name].shape)] for name in self.names}

    # ---- what torch.distributed.checkpoint calls, in this order ----

    def reset(self, checkpoint_id: object = None) -> None:
        """Nothing is kept from one load to the next."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: object) -> bool:
        """Whether this is a place that can be read from."""
        return isinstance(checkpoint_id, str | os.PathLike)

    def read_metadata(self) -> Any:
        """Return torch's metadata, made of our manifest: there is no `.metadata` file."""
        from torch import Size
        from torch.distributed.checkpoint.metadata import (
            ChunkStorageMetadata,
            Metadata,
            TensorProperties,
            TensorStorageMetadata,
        )

        entries = {}
        for name in self.names:
            whole = self.step.tensors[name]
            chunks = [ChunkStorageMetadata(Size(each.offsets), Size(each.sizes)) for each in self._blocks[name]]
            properties = TensorProperties(dtype=torch_dtype(whole.dtype))
            entries[name] = TensorStorageMetadata(properties, Size(whole.shape), chunks)
        return Metadata(entries)

    def set_up_storage_reader(self, metadata: Any, is_coordinator: bool) -> None:  # noqa: FBT001 - torch's interface
        """Nothing: the checkpoint is open."""

    def prepare_local_plan(self, plan: Any) -> Any:
        """The planner's."""
        return plan

    def prepare_global_plan(self, plans: list[Any]) -> list[Any]:
        """The planner's."""
        return plans

    def read_data(self, plan: Any, planner: Any) -> Any:
        """Read what the plan asks for, file by file, into the planner's tensors."""
        from torch.futures import Future

        by_file: dict[str, dict[str, list[Any]]] = {}
        for item in plan.items:
            name = self._name(item.storage_index)
            record = self.step.manifest.tensors.get(name)
            by_file.setdefault(record.file if record else "", {}).setdefault(name, []).append(item)
        for wanted in by_file.values():
            self._read(wanted, planner)
        done: Any = Future()
        done.set_result(None)
        return done

    # ---- inside ----

    def _name(self, index: Any) -> str:
        """Return the name of a block in its file."""
        for shard in self._blocks[index.fqn]:
            if shard.offsets == tuple(index.offset):
                return shard.of if shard.sizes == shard.shape else shard.name
        raise MalformedError(f"no block of {index.fqn!r} at {list(index.offset)}", where=self.step.path)

    def _read(self, wanted: dict[str, list[Any]], planner: Any) -> None:
        held = open_step(self.step.path, verify=True, names=wanted).tensors
        for name, items in wanted.items():
            block = as_torch_value(held[name])
            for item in items:
                place = tuple(slice(i, i + n) for i, n in zip(item.storage_offsets, item.lengths, strict=True))
                target = planner.resolve_tensor(item).detach()
                target.copy_(block[place])
                planner.commit_tensor(item, target)


def _all_of(name: str, shape: tuple[int, ...]) -> Shard:
    return Shard(name, shape, (0,) * len(shape), shape)
