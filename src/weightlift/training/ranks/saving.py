"""A save that all ranks make together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from ...errors import UnsupportedError, WeightliftError
from ...typed import Any
from ...values import replace
from ...writers.hashing import DEFAULT_HASH, hasher
from ...writers.manifest import MANIFEST, Manifest
from ...writers.step import WrittenStep, state_document, written_by
from ..save import Select
from ..state import TrainState
from .group import Group, group_of_run, talking
from .share import Share, read_share, refuse_differences, tensor_digest
from .writer import Writer


def save(
    path: str | os.PathLike[str],
    run: TrainState,
    *,
    step: int | None = None,
    metrics: Mapping[str, float] | None = None,
    select: Select = None,
    without: Iterable[str] = (),
    hash: str = DEFAULT_HASH,  # noqa: A002 - the word of the manifest
    progress: Callable[[int, int], None] | None = None,
) -> WrittenStep:
    """Write a checkpoint of all ranks, and return on every rank when it is on the disk under its name.

    Every rank of the process group calls it, with the same arguments; the directory lies where all see it. Shards,
    parameters and moments are shared out by torch's planner. Random states, generators and `data` are each rank's
    own, and so are buffers that differ; everything else has to be the same on all ranks and is written by rank 0.
    `progress` hears of the bytes of this rank's files.

    Raises:
        UnsupportedError: what cannot be written, on any rank, or is not the same on all; nothing was begun.
        WriteError: a rank could not write, died, or did not answer in the time of the process group, on every rank
        that is left; an older checkpoint of that name is there as it was.
    """
    where = os.path.abspath(os.fspath(path))
    with group_of_run(os.fspath(path)) as group:
        outline, state, share = _agreed(where, group, run, step, dict(metrics or {}), select, without, hash)
        with Writer(where, group.rank, share, outline, state, progress) as writer:
            _write(share, writer, group)
        manifest = _committed(where, group)
    nbytes = manifest.nbytes + len(manifest.to_bytes())
    return WrittenStep(os.fspath(path), manifest, nbytes, {}, ())


def _agreed(
    where: str,
    group: Group,
    run: TrainState,
    step: int | None,
    metrics: Mapping[str, float],
    select: Select,
    without: Iterable[str],
    hash_name: str,
) -> tuple[Manifest, Mapping[str, Any], Share]:
    """Read this rank's share, hear of the others', and see that they fit together."""
    problem: WeightliftError | None = None
    share: Share | None = None
    said: dict[str, Any] = {}
    try:
        hasher(hash_name)
        share = read_share(run, group.rank, select, without)
        call = {"path": where, "step": step, "metrics": repr(metrics), "hash": hash_name}
        said = {"digests": call | dict(share.digests), "apart": share.apart, "parts": share.parts}
        said["names"] = list(share.planned)
        Manifest(hash_name, step, metrics).to_bytes()  # a metric that is no number is told before anything is written
        said["buffers"] = {name: tensor_digest(held) for name, held in share.buffers.items()}
    except WeightliftError as error:
        problem = error
    told = group.agree(problem, message=said)
    assert share is not None  # noqa: S101 - agreed
    refuse_differences([each["digests"] for each in told])
    _refuse_other_names([each["names"] for each in told])
    documents = dict(share.shared)
    parts: dict[str, str] = {}
    for each in told:
        documents |= each["apart"]
        parts |= each["parts"]
    share = _with_buffers(share, group.rank, said["buffers"], told[0]["buffers"])
    state = state_document(documents, ranks=group.size, ties=dict(share.ties))
    return Manifest(hash_name, step, metrics, parts, share.partial, written_by()), state, share


def _with_buffers(share: Share, rank: int, ours: Mapping[str, str], first: Mapping[str, str]) -> Share:
    """Return the share with the buffers that are not those of rank 0, under `rank/<r>/`."""
    other = {f"rank/{rank}/{name}": share.buffers[name] for name in ours if ours[name] != first.get(name)}
    return replace(share, own={**share.own, **other}) if other else share


def _refuse_other_names(names: list[list[str]]) -> None:
    for rank, each in enumerate(names):
        if odd := sorted(set(each) ^ set(names[0])):
            raise UnsupportedError(
                f"{odd[0]!r} is on one of rank 0 and rank {rank} only",
                expected="the same weights and moments on all ranks",
                remedy="build model and optimizer alike on all ranks",
            )


def _write(share: Share, writer: Writer, group: Group) -> None:
    import torch.distributed.checkpoint as dcp

    dcp.StorageWriter.register(Writer)
    planner = dcp.DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    with talking():
        dcp.save(dict(share.planned), storage_writer=writer, planner=planner, process_group=group.handle)


def _committed(where: str, group: Group) -> Manifest:
    """Return the manifest that is on the disk now, as every rank reads it."""
    problem: WeightliftError | None = None
    made = Manifest()
    try:
        with open(os.path.join(where, MANIFEST), "rb") as file:
            made = Manifest.from_bytes(file.read())
    except OSError as error:
        problem = UnsupportedError(f"the checkpoint cannot be read here ({error.strerror})", expected="a shared disk")
    except WeightliftError as error:
        problem = error
    group.agree(problem)
    return made
