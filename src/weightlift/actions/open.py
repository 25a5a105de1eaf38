"""`open`: a path to what the file holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..checkpoint import Checkpoint
from ..errors import WeightliftError, WriteError
from ..formats import Opening, open_source
from ..formats.directories import file_of
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import LocalFile


def open_checkpoint(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Checkpoint:
    """Return what a file holds. Reads its structure only; no code of the file runs.

    What it is gets decided by its content: any torch file, TorchScript, safetensors, a sharded index,
    numpy, GGUF, a pickle, an archive of such, or the directory of one of our own checkpoints.

    >>> import weightlift as wl
    >>> wl.open("model.pt").state_dict()["fc.weight"].shape
    (10, 512)

    Raises:
        SourceError: the path cannot be read. UnknownFormatError, UnsupportedError: not a checkpoint.
        MalformedError: the file contradicts itself. LimitError: it asks for more than `limits`.
    """
    source = LocalFile(file_of(path))
    with errors_name(source.path):
        return open_source(source, Opening(limits))


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
