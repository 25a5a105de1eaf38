"""`extract`: only the state dict of a checkpoint, streamed into a safetensors file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..checkpoint import Checkpoint
from ..errors import plural
from ..findings import Finding
from ..limits import DEFAULT_LIMITS, Limits
from ..state_dict import StateDict
from ..values import dataclass
from ..writers.safetensors import Progress, Written
from .open import errors_name, open_checkpoint, refuse_itself


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was extracted from where, and what is worth knowing about it."""

    source: str
    state_dict: StateDict
    written: Written
    findings: tuple[Finding, ...]


def extract(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    select: Sequence[str] = (),
    drop: Sequence[str] = (),
    max_shard_bytes: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Extraction:
    """Write the state dict of a checkpoint to `out`; nothing is left behind after an error.

    `name` chooses one of several (see `Checkpoint.state_dicts`); `select` and `drop` are patterns over
    its keys (`encoder.**`, `*.bias`); `max_shard_bytes` is that of `StateDict.save`.
    Tensors are copied in chunks, so memory stays small whatever the size.

    Raises:
        StateDictError: no state dict, several and no name, or a pattern that fits no key.
        WriteError: `out` cannot be written, or is the checkpoint itself.
        Everything that opening raises.
    """
    refuse_itself(path, out)
    with errors_name(path):
        checkpoint = open_checkpoint(path, limits=limits)
        state_dict = checkpoint.state_dict(name)
        state_dict = state_dict.select(*select) if select else state_dict
        state_dict = state_dict.drop(*drop) if drop else state_dict
        written = state_dict.save(out, max_shard_bytes, progress=progress)
    return Extraction(os.fspath(path), state_dict, written, _findings(checkpoint, state_dict, written, name))


def _findings(checkpoint: Checkpoint, state_dict: StateDict, written: Written, name: str | None) -> tuple[Finding, ...]:
    """What belongs to this state dict, and which others were left."""
    out = [f for f in checkpoint.findings if f.where == state_dict.name or f.code not in ("class-code", "chosen")]
    if name is not None:
        out = [f for f in out if f.code != "chosen"]
    if written.unshared:
        names = ", ".join(map(repr, written.unshared[:4]))
        message = f"{plural(len(written.unshared), 'overlapping tensor')} written as a copy of its own: {names}"
        out.append(Finding("unshared", "note", state_dict.name, message))
    return tuple(out)
