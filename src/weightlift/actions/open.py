"""`open`: a path to what the file holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..checkpoint import Checkpoint
from ..errors import UnsafeError, WeightliftError, WriteError
from ..formats import Opening, open_source
from ..formats.directories import file_of
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import LocalFile
from ..typed import Literal, TypeAlias

Policy: TypeAlias = Literal["read", "refuse-dangerous", "refuse-unknown"]
POLICIES: tuple[Policy, ...] = ("read", "refuse-dangerous", "refuse-unknown")


def open_checkpoint(
    path: str | os.PathLike[str], *, policy: Policy = "read", limits: Limits = DEFAULT_LIMITS
) -> Checkpoint:
    """Return what a file holds. Reads its structure only; no code of the file runs.

    What it is gets decided by its content: any torch file, TorchScript, safetensors, a sharded index,
    numpy, GGUF, a pickle, an archive of such, or the directory of one of our own checkpoints.

    >>> import weightlift as wl
    >>> wl.open("model.pt").state_dict()["fc.weight"].shape
    (10, 512)

    Reading is safe whatever the file holds, so the default policy "read" refuses nothing. For a file that is
    handed on to a plain `torch.load` or `pickle.load`, "refuse-dangerous" scans it first and raises where the
    verdict is dangerous or unreadable, "refuse-unknown" where it is anything but clean.

    Raises:
        UnsafeError: the policy refuses the file; `error.scanned` has the evidence.
        SourceError: the path cannot be read. UnknownFormatError, UnsupportedError: not a checkpoint.
        MalformedError: the file contradicts itself. LimitError: it asks for more than `limits`.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r}; expected one of {', '.join(POLICIES)}")
    source = LocalFile(file_of(path))
    with errors_name(source.path):
        checkpoint = open_source(source, Opening(limits))  # first, so that what cannot be read says so itself
        if policy != "read":
            _refuse(source, policy, limits)
        return checkpoint


def _refuse(source: LocalFile, policy: Policy, limits: Limits) -> None:
    """Scan a file and raise where the policy does not take its verdict."""
    from ..scans import scan_source  # only who asks for a policy pays for it

    scanned = scan_source(source, limits=limits)
    if scanned.verdict == "clean" or (scanned.verdict == "unknown" and policy == "refuse-dangerous"):
        return
    reasons = [each for each in scanned.evidence if each.severity in ("warning", "danger")]
    reasons.sort(key=lambda each: each.severity != "danger")
    listed = "; ".join(f"{each.where or source.name}: {each.call or each.message}" for each in reasons[:3])
    more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    raise UnsafeError(
        f"{scanned.verdict} by a scan: {listed}{more}",
        scanned=scanned,
        remedy="look at it with: weightlift scan; or open it with policy='read', which runs nothing of it",
    )


@contextmanager
def errors_name(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let every error about the file that leaves the block begin with its path, once."""
    given = os.fspath(path)
    name = os.path.basename(given)
    try:
        yield
    except WriteError:
        raise  # that one is about the output
    except WeightliftError as error:
        where = error.where
        if where[:1] == (name,):
            where = where[1:]
        if where and where[0].startswith(f"{name} at byte"):
            where = (where[0].removeprefix(f"{name} "), *where[1:])
        if where[:1] != (given,):
            where = (given, *where)
        error.where = where
        raise


def refuse_itself(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> None:
    """Refuse to write over the file that is opened, an index or a compressed one too.

    Raises:
        WriteError: both are one file.
    """
    if os.path.exists(out) and os.path.exists(path) and os.path.samefile(path, out):
        raise WriteError("is the checkpoint itself", expected="another name", where=os.fspath(out))
