"""The table of formats, and the one place where it is decided what a file is."""

from __future__ import annotations

from importlib import import_module

from ..checkpoint import Checkpoint
from ..errors import UnknownFormatError, WeightliftError
from ..sources import Source
from .base import Format, Opening, Probe

# One line per format: a module here with a `FORMAT`. The first that recognises the content opens it,
# so the frequent ones come first and the general (any archive, any pickle) after the particular.
FORMATS = (
    "torch_zip",
    "torch_legacy",
    "torchscript",
    "safetensors",
    "torch_export",
    "torchscript_json",
    "npz",
    "npy",
    "gguf",
    "step",
    "sharded",
    "torch_tar",
    "archive",
    "bare_pickle",
)


def identify(probe: Probe) -> Format:
    """Return the format of a source, from its content alone.

    Raises:
        UnknownFormatError: it is none of them; says what it looks like.
        UnsupportedError: it is of a known kind that cannot be read.
    """
    for name in FORMATS:
        candidate: Format = import_module(f".{name}", __package__).FORMAT
        if candidate.recognises(probe):
            return candidate
    from .strangers import explain

    raise explain(probe)


def open_source(source: Source, opening: Opening | None = None) -> Checkpoint:
    """Return what a source holds; errors name the source."""
    opening = opening or Opening()
    try:
        if source.size == 0:
            raise UnknownFormatError("there are no bytes", expected="a checkpoint")
        return open_probe(Probe(source, opening.limits), opening)
    except WeightliftError as error:
        error.at(source.name)
        raise


def open_probe(probe: Probe, opening: Opening) -> Checkpoint:
    """Return what a source holds that is being identified."""
    return identify(probe).open(probe, opening)
