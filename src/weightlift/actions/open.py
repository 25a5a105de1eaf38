"""`open`: a path to what the file holds."""

from __future__ import annotations

import os

from ..checkpoint import Checkpoint
from ..errors import WeightliftError
from ..formats import Opening, open_source
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import LocalFile


def open_checkpoint(path: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS) -> Checkpoint:
    """Return what a file holds. Reads its structure only; no code of the file runs.

    What it is gets decided by its content: any torch file, TorchScript, safetensors, a sharded index,
    numpy, GGUF, a pickle, or an archive of such.

    >>> import weightlift as wl
    >>> wl.open("model.pt").state_dict()["fc.weight"].shape
    (10, 512)

    Raises:
        SourceError: the path cannot be read. UnknownFormatError, UnsupportedError: not a checkpoint.
        MalformedError: the file contradicts itself. LimitError: it asks for more than `limits`.
    """
    source = LocalFile(path)
    try:
        return open_source(source, Opening(limits))
    except WeightliftError as error:
        if error.where[:1] == (source.name,):
            error.where = (source.path, *error.where[1:])
        raise
