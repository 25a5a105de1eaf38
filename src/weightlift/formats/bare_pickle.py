"""A pickle with no container around it, and the torch.save blobs that may lie inside it.

`pickle.dump(model)` writes each storage as bytes that torch.save made (`torch.storage._load_from_bytes`);
those are opened where they lie. joblib and plain scientific pickles come through here as well.
"""

from __future__ import annotations

from typing import Any

from ..checkpoint import Checkpoint
from ..errors import PickleError, WeightliftError
from ..findings import Finding
from ..limits import Limits
from ..pickles import Blob, read_pickle
from ..sources import Memory
from ..tensors import rebuilders
from ..tensors.rebuild import TypedStorage
from .base import Format, Opening, Probe

_SNIFF = Limits(opcodes=2_000_000)
_TEXT_BEGINNINGS = b"(cI}])lSVdFNLg"


def _recognises(probe: Probe) -> bool:
    head = probe.head
    if head[:1] == b"\x80":
        return len(head) > 1 and head[1] <= 5
    if head[:1] not in [bytes((c,)) for c in _TEXT_BEGINNINGS]:
        return False
    try:
        read_pickle(probe.source, limits=_SNIFF)
    except WeightliftError:
        return False
    return True


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    blobs = 0

    def storage_from_bytes(data: Any) -> Any:
        nonlocal blobs
        blobs += 1
        return _nested_storage(data, opening, blobs)

    pickle = read_pickle(probe.source, rebuild=rebuilders(storage_from_bytes=storage_from_bytes), limits=opening.limits)
    findings = []
    if pickle.end != probe.source.size:
        left = probe.source.size - pickle.end
        findings.append(Finding("trailing-bytes", "warning", "", f"{left} bytes follow the end of the pickle"))
    return Checkpoint(
        pickle.value,
        format="pickle",
        source=probe.source,
        details={"pickle_protocol": pickle.protocol, "nested_blobs": blobs},
        globals=pickle.globals,
        findings=tuple(findings),
        limits=opening.limits,
    )


def _nested_storage(data: Any, opening: Opening, number: int) -> TypedStorage:
    """Return the storage that a torch.save blob holds.

    Raises:
        PickleError: the bytes hold something else.
    """
    from .registry import open_source

    if isinstance(data, Blob):
        source = data.source
    elif isinstance(data, bytes | bytearray):
        source = Memory(bytes(data), f"blob {number}")
    else:
        raise PickleError(f"a storage from {data!r:.40}", expected="bytes")
    value = open_source(source, opening.within()).tree
    if not isinstance(value, TypedStorage):
        raise PickleError(f"a nested blob that holds {value!r:.40}", expected="a storage")
    value.storage.key = f"{number}:{value.storage.key}"
    return value


FORMAT = Format("pickle", _recognises, _open)
