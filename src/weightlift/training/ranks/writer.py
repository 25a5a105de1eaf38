"""Our container behind torch.distributed.checkpoint's `StorageWriter`: safetensors, hashes, one manifest.

Rank 0 makes the temporary directory and names it in the plans. Each rank writes files of its own, flushed, and
reports their records. Only when all have reported does rank 0 write the state and the manifest, flush, and rename.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType

from ...errors import WriteError
from ...limits import DEFAULT_LIMITS
from ...tensors.from_live import lazy_values
from ...typed import Any, Self
from ...values import replace
from ...writers.directory import durable_directory
from ...writers.hashed_file import HashedFile
from ...writers.layout import plan_layout
from ...writers.manifest import MANIFEST, STATE, FileRecord, Manifest, Shard, TensorRecord, data_name
from ...writers.safetensors import Progress
from ...writers.shards import shard_entries
from ...writers.step import MAX_FILE_BYTES, refuse_full_disk, state_text, write_data_file
from ...writers.target import target_of
from .share import Share


class Writer:
    """One save on one rank. On rank 0 it is a context: left with an error, nothing of the checkpoint stays."""

    def __init__(
        self, path: str, rank: int, share: Share, outline: Manifest, state: Mapping[str, Any], progress: Progress | None
    ) -> None:
        self.path = path
        self.rank = rank
        self.share = share
        self.outline = outline
        self.state = state
        self.progress = progress
        self._folder = ""
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    # ---- what torch.distributed.checkpoint calls, in this order ----

    def reset(self, checkpoint_id: object = None) -> None:
        """Nothing is kept from one save to the next."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: object) -> bool:
        """Whether this is a place that can be written to."""
        return isinstance(checkpoint_id, str | os.PathLike)

    def storage_meta(self) -> None:
        """Nothing: the manifest says it."""

    def set_up_storage_writer(self, is_coordinator: bool) -> None:  # noqa: FBT001 - torch's interface
        """On rank 0, make the temporary directory."""
        if is_coordinator:
            self._folder = self._open.enter_context(durable_directory(self.path))

    def prepare_local_plan(self, plan: Any) -> Any:
        """The planner's, with the bytes that this rank adds."""
        return replace_plan(plan, {"own": sum(held.nbytes for held in self.share.own.values())})

    def prepare_global_plan(self, plans: list[Any]) -> list[Any]:
        """On rank 0: see that there is room for all, and tell all where to write."""
        needed = sum(plan.storage_data["own"] for plan in plans)
        needed += sum(_nbytes(item) for plan in plans for item in plan.items)
        refuse_full_disk(target_of(self.path), needed)
        return [replace_plan(plan, {"folder": self._folder}) for plan in plans]

    def write_data(self, plan: Any, planner: Any) -> Any:
        """Write this rank's files, flushed, and return their records, which are plain data."""
        from torch.distributed.checkpoint.metadata import MetadataIndex
        from torch.distributed.checkpoint.storage import WriteResult
        from torch.futures import Future

        files, tensors = self._write(plan.storage_data["folder"], plan, planner)
        done: Any = Future()
        record = {"files": files, "tensors": tensors}
        done.set_result(
            [WriteResult(MetadataIndex(f"rank/{self.rank}"), sum(each[0] for each in files.values()), record)]
        )
        return done

    def finish(self, metadata: Any, results: list[list[Any]]) -> None:
        """On rank 0, when every rank has written and flushed: state, manifest, and the name."""
        del metadata  # the manifest says the same, and needs no pickle
        files, tensors = _gathered(results)
        for name, record in files.items():
            self._see(name, record)
        text = state_text(self.state)
        with HashedFile(os.path.join(self._folder, STATE), self.outline.hash) as out:
            out.write(text)
        files[STATE] = FileRecord(len(text), out.digest)
        with HashedFile(os.path.join(self._folder, MANIFEST), self.outline.hash) as out:
            out.write(replace(self.outline, files=files, tensors=tensors).to_bytes())
        self._open.close()

    # ---- inside ----

    def _write(self, folder: str, plan: Any, planner: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if not os.path.isdir(folder):
            raise WriteError(
                f"rank {self.rank} cannot see the directory that rank 0 made",
                expected="a file system that all ranks share",
                where=folder,
            )
        blocks, live = _blocks(plan, planner)
        entries = lazy_values(live) | dict(self.share.own)
        files: dict[str, Any] = {}
        records: dict[str, TensorRecord] = {}
        pieces = (
            shard_entries(entries, MAX_FILE_BYTES, header_bytes=DEFAULT_LIMITS.header_bytes // 2) if entries else []
        )
        layouts = {data_name(i + 1, self.rank): plan_layout(piece) for i, piece in enumerate(pieces)}
        for name, layout in layouts.items():
            where = os.path.join(folder, name)
            made = write_data_file(where, layout, self.outline.hash, records, self.progress)
            files[name] = [made.nbytes, made.hash, made.header]
        tensors = {
            name: [each.file, each.nbytes, each.hash, _plain(blocks.get(name))] for name, each in records.items()
        }
        return files, tensors

    def _see(self, name: str, record: FileRecord) -> None:
        try:
            found = os.stat(os.path.join(self._folder, name)).st_size
        except OSError:
            found = -1
        if found != record.nbytes:
            raise WriteError(
                f"rank 0 does not see {name!r} as another rank wrote it",
                expected="a file system that all ranks share",
                where=self._folder,
            )


def replace_plan(plan: Any, storage_data: Any) -> Any:
    """Return a plan of torch's with what we have to say about it."""
    from dataclasses import replace as replaced

    return replaced(plan, storage_data=storage_data)


def _nbytes(item: Any) -> int:
    about = item.tensor_data
    return int(about.chunk.sizes.numel() * about.properties.dtype.itemsize)


def _blocks(plan: Any, planner: Any) -> tuple[dict[str, Shard], dict[str, Any]]:
    """Return (block by its name, live tensor by its name) of what the plan gives to this rank."""
    blocks: dict[str, Shard] = {}
    live: dict[str, Any] = {}
    for item in plan.items:
        about = item.tensor_data
        name, shape, sizes = item.index.fqn, tuple(about.size), tuple(about.chunk.sizes)
        if sizes != shape:
            if 0 in sizes:
                continue  # a rank that has nothing of it
            shard = Shard(name, shape, tuple(about.chunk.offsets), sizes)
            name = shard.name
            blocks[name] = shard
        live[name] = planner.resolve_data(item).detach()
    return blocks, live


def _plain(shard: Shard | None) -> Any:
    return None if shard is None else [shard.of, list(shard.shape), list(shard.offsets), list(shard.sizes)]


def _gathered(results: list[list[Any]]) -> tuple[dict[str, FileRecord], dict[str, TensorRecord]]:
    """Return the records that all ranks reported."""
    files: dict[str, FileRecord] = {}
    tensors: dict[str, TensorRecord] = {}
    for result in results:
        for each in result:
            said = each.storage_data
            files |= {name: FileRecord(*record) for name, record in said["files"].items()}
            for name, (file, nbytes, digest, block) in said["tensors"].items():
                shard = None if block is None else Shard(block[0], *map(tuple, block[1:]))
                tensors[name] = TensorRecord(file, nbytes, digest, shard)
    return files, tensors
