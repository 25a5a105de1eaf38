"""A pickle with no container around it, and the torch.save blobs that may lie inside it.

Several pickles may stand in a row; their values are then a list. joblib and plain scientific pickles
come through here as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..checkpoint import Checkpoint
from ..errors import MalformedError, PickleError, WeightliftError, shown
from ..findings import Finding
from ..limits import Limits
from ..pickles import Global, Pickle
from ..pickles.machine import carry_out
from ..pickles.state import Machine, Rebuild
from ..tensors import rebuilders
from ..typed import Any
from .base import Format, Opening, Probe
from .integrity import after_end
from .nested import NestedBlobs

_SNIFF = Limits(opcodes=20_000)
_TEXT_BEGINNINGS = b"(cI}])lSVdFNLg"


def _recognises(probe: Probe) -> bool:
    head = probe.head
    if head[:1] == b"\x80":
        return len(head) > 1 and head[1] <= 5
    if head[:1] not in [bytes((c,)) for c in _TEXT_BEGINNINGS]:
        return False
    machine = Machine(probe.source, 0, {}, None, _SNIFF)
    try:
        carry_out(machine)
    except WeightliftError:
        return machine.count == _SNIFF.opcodes  # nothing but a pickle goes so far
    return True


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    source = probe.source
    blobs = NestedBlobs(opening)
    rebuild = rebuilders(storage_from_bytes=blobs)
    values: list[Any] = []
    found: dict[Global, int] = {}
    findings: list[Finding] = []
    at = protocol = 0
    while at < source.size:  # several dumps into one file stand one after another
        try:
            pickle = _first(probe, rebuild, opening) if not values else _later(probe, at, rebuild, opening)
        except WeightliftError:
            if not values:
                raise
            follows = "the pickle" if len(values) == 1 else f"{len(values)} pickles"
            findings += after_end(source, at, f"{follows} and are none", what="pickle")
            break
        values.append(pickle.value)
        found |= pickle.globals
        at, protocol = pickle.end, pickle.protocol
    return Checkpoint(
        values[0] if len(values) == 1 else values,
        format="pickle",
        source=source,
        details={"pickle_protocol": protocol, "pickles": len(values), "nested_blobs": blobs.count},
        globals=blobs.settle(found),
        findings=tuple(findings),
        limits=opening.limits,
    )


def _first(probe: Probe, rebuild: Mapping[Global, Rebuild], opening: Opening) -> Pickle:
    return opening.read(probe.source, rebuild=rebuild, persistent=_no_storages, limits=opening.limits)


def _later(probe: Probe, at: int, rebuild: Mapping[Global, Rebuild], opening: Opening) -> Pickle:
    """A further pickle; one that leans on data elsewhere is kept as inert calls, for what it names."""
    try:
        return opening.read(probe.source, at, rebuild=rebuild, limits=opening.limits)
    except MalformedError:
        return opening.read(probe.source, at, limits=opening.limits)


def _no_storages(identifier: Any) -> Any:
    raise PickleError(
        f"persistent id {shown(identifier)}: its data lies outside this file",
        expected="the whole checkpoint",
        remedy="name the archive that this pickle was taken from",
    )


FORMAT = Format("pickle", _recognises, _open)
