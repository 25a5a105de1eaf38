"""One file to its verdict: what reading it says, and what is in every pickle of it."""

from __future__ import annotations

from ..containers import looks_like_zip
from ..errors import (
    ContainerError,
    LimitError,
    MalformedError,
    TwoReadingsError,
    UnknownFormatError,
    UnsupportedError,
    WeightliftError,
    detach,
)
from ..findings import Finding, Severity
from ..formats import Opening, Probe, open_probe
from ..formats.integrity import check_one_kind
from ..limits import DEFAULT_LIMITS, Limits
from ..pickles import Global
from ..pickles.known_globals import advisory_of, verdict_of
from ..pickles.noticing import SeenPickles
from ..sources import Source
from ..tensors import Composite, Tensor
from ..tree import tensors_in, walk
from ..values import dataclass, field
from .gathered import Gathered
from .pickled import search
from .regions import scan_region
from .strangers import is_no_checkpoint
from .values import Evidence, Scanned

_TOLD = ("wrong-extension", "zip-comment", "outside-names", "special-members", "colliding-names")
"""What a format notices of a container that is worth telling beside any verdict."""

_CLOSED = (UnsupportedError, UnknownFormatError)
_EXPECTED: dict[str, tuple[type[WeightliftError], ...]] = {"joblib": (MalformedError, LimitError, *_CLOSED)}
"""How reading ends where a scan looks into a file by itself; `_CLOSED` for all kinds but these."""
_ROW_OF_ZIPS = "torch-dcp-data"


def scan_source(source: Source, *, limits: Limits = DEFAULT_LIMITS, deep: bool = False) -> Scanned:
    """Return the verdict on one file and the evidence for it. Never raises for what a file holds.

    Reads the file's structure and its pickles; tensor bytes only with `deep`, in bounds. A file that no
    format recognises is unreadable, with the code "not-a-checkpoint" where it is plainly something else.
    """
    limits = limits.running(source.size)
    gathered = Gathered(limits, source.size, deep=deep)
    error: WeightliftError | None = None
    known, format_name = False, ""
    try:
        gathered.probe = Probe(source, limits)
        read = _read(gathered.probe, gathered.seen)
        known = scan_region(source, "", gathered)
        format_name = read.format
        _judge(read.globals, gathered)
        for finding in read.findings:
            gathered.note(finding.code, finding.where, finding.message)
        if read.error is not None:
            raise read.error
        if deep and not gathered.pickles:  # nothing but tensors, as in a safetensors file
            search(source, 0, "", gathered)
    except WeightliftError as said:
        detach(said)
        error = said
    except (RecursionError, MemoryError) as said:
        gathered.unreadable("limit", "", f"reading it ends in a {type(said).__name__}")
    if error is not None and known and (own := gathered.own_format):
        format_name = own
        error = _unexpected(error, own, gathered)
    if error is not None:
        _tell_error(error, source, gathered)
        if isinstance(error, TwoReadingsError) and not looks_like_zip(source):  # a zip behind something else
            from .zips import scan_every_reading

            scan_every_reading(source, "", gathered, scan_region)
    path = str(getattr(source, "path", source.name))
    evidence = tuple(gathered.evidence)
    return Scanned(path, gathered.verdict, format_name, evidence, gathered.pickles, gathered.pickle_nbytes)


def _unexpected(error: WeightliftError, own: str, gathered: Gathered) -> WeightliftError | None:
    """Return what is wrong with a file of a kind that only a scan looks into, beside that no format reads it."""
    if own == _ROW_OF_ZIPS:
        return None
    if not isinstance(error, _EXPECTED.get(own, _CLOSED)) or isinstance(error, ContainerError):
        return error
    try:
        if gathered.probe is not None:
            check_one_kind(gathered.probe, f"a {own} file")
    except WeightliftError as said:
        detach(said)
        return said
    return None


def _tell_error(error: WeightliftError, source: Source, gathered: Gathered) -> None:
    if not isinstance(error, UnknownFormatError):
        gathered.failed(error, "")
    elif is_no_checkpoint(source):
        gathered.unreadable("not-a-checkpoint", "", str(error))
    else:
        gathered.unreadable("unrecognised", "", str(error))


@dataclass(slots=True)
class _Read:
    """What reading a file has come to: its format, the names in it, and the error that it ended with."""

    format: str = ""
    globals: dict[Global, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    error: WeightliftError | RecursionError | MemoryError | None = None


def _read(probe: Probe, seen: SeenPickles) -> _Read:
    """Open a file, check every tensor against its storage, and let go of them.

    Comes before looking into the file, so that what is read here need not be carried out once more there.
    """
    read = _Read()
    try:
        checkpoint = open_probe(probe, Opening(probe.limits, read=seen.read))
        read.format, read.globals = checkpoint.format, checkpoint.globals
        read.findings = [finding for finding in checkpoint.own_findings if finding.code in _TOLD]
        for _, value in walk(checkpoint.tree, limits=probe.limits, leaves=False):
            if isinstance(value, Tensor | Composite):
                for tensor in tensors_in(value):
                    tensor.check()
    except (WeightliftError, RecursionError, MemoryError) as error:
        detach(error)
        read.error = error
    return read


def _judge(names: dict[Global, int], gathered: Gathered) -> None:
    """Judge every name that the format met elsewhere than the scan."""
    for named, offset in names.items():
        verdict = verdict_of(named)
        if verdict != "clean" and named not in gathered.judged:
            severity: Severity = "danger" if verdict == "dangerous" else "warning"
            message = f"names {named}"
            code = f"{verdict}-global"
            gathered.add(Evidence(code, severity, "", message, offset, "GLOBAL", "", advisory_of(named)))
