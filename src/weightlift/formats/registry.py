"""The table of formats, and the one place where it is decided what a file is."""

from __future__ import annotations

from importlib import import_module

from ..checkpoint import Checkpoint, Progress
from ..errors import UnknownFormatError, UnsupportedError, WeightliftError
from ..findings import Finding
from ..limits import DEFAULT_LIMITS
from ..sources import Source
from ..tree import storages_in
from .base import Format, Opening, Probe
from .integrity import check_one_kind, wrong_extension
from .member_names import odd_names

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


def _identified(probe: Probe) -> Format:
    try:
        return identify(probe)
    except (UnknownFormatError, UnsupportedError):
        check_one_kind(probe, "no known kind of file")
        raise


def _verify(probe: Probe, checkpoint: Checkpoint, progress: Progress | None) -> list[Finding]:
    from .verifying import verify

    return verify(probe, checkpoint, progress)


def open_source(source: Source, opening: Opening | None = None) -> Checkpoint:
    """Return what a source holds; errors name the source."""
    given = opening or Opening()
    opening = Opening(given.limits.running(source.size), given.depth)
    try:
        if source.size == 0:
            raise UnknownFormatError("there are no bytes", expected="a checkpoint")
        made = open_probe(Probe(source, opening.limits), opening)
        _set_expansion(made, given)
    except WeightliftError as error:
        error.at(source.name)
        raise
    made.limits = given.limits  # the clock stands still again
    return made


def _set_expansion(made: Checkpoint, opening: Opening) -> None:
    """Let the storages know what a caller has asked for instead of the default."""
    most = opening.limits.materialised_bytes
    if most != DEFAULT_LIMITS.materialised_bytes and not opening.depth:
        for storage in storages_in(made.tree):
            storage.most_nbytes = most


def open_probe(probe: Probe, opening: Opening) -> Checkpoint:
    """Return what a source holds that is being identified."""
    checkpoint = _identified(probe).open(probe, opening)
    check_one_kind(probe, checkpoint.format)
    checkpoint.own_findings += wrong_extension(checkpoint)
    if probe.zip is not None:
        checkpoint.own_findings += (*probe.zip.findings, *odd_names(probe.names))
    if checkpoint.verifier is None:
        checkpoint.verifier = lambda opened, progress: _verify(probe, opened, progress)
    return checkpoint
