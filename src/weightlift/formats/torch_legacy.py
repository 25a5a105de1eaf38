"""The stream that torch.save wrote from 0.1.9 to 1.5: five pickles, then the storages.

magic number, protocol version, system info, the object, the list of storage keys; then for each key
8 bytes of element count and the elements. Follows torch/serialization.py `_legacy_save` and
`_legacy_load`. torch cannot map such a file; where each storage lies is found here from the counts.
"""

from __future__ import annotations

from ..checkpoint import Checkpoint
from ..errors import ContainerError, MalformedError, PickleError, WeightliftError, shown, worded
from ..limits import Limits
from ..pickles import read_pickle
from ..sources import Memory, Source
from ..tensors import Storage, rebuilders
from ..tensors.rebuild import TypedStorage
from ..typed import Any
from .base import Format, Opening, Probe
from .integrity import after_end
from .nested import NestedBlobs
from .torch_zip import same_size, storage_id

MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_LIMITS = Limits(opcodes=4, text_bytes=64)


class _Storages:
    """Stands in for `persistent_load`: makes storages, whose place in the stream comes later."""

    def __init__(self, *, little_endian: bool) -> None:
        self.little_endian = little_endian
        self.by_key: dict[str, Storage] = {}
        self.itemsize: dict[str, int] = {}  # of the type that the first id of a storage names
        self.modules = 0

    def __call__(self, identifier: Any) -> Any:
        """Return a storage, a view of one, or the class of a ('module', class, file, source) id."""
        if isinstance(identifier, tuple) and len(identifier) >= 2 and identifier[0] in ("module", b"module"):
            self.modules += 1
            return identifier[1]
        dtype, key, location, nbytes = storage_id(identifier)
        storage = self.by_key.get(key)
        if storage is None:
            storage = Storage(key, nbytes, device=location, little_endian=self.little_endian)
            self.by_key[key] = storage
            self.itemsize[key] = dtype.itemsize if dtype else 1
        view = identifier[5] if len(identifier) > 5 else None
        if view is None:
            return TypedStorage(same_size(storage, nbytes), dtype)
        if (
            not isinstance(view, tuple)
            or len(view) != 3
            or not all(type(n) is int and 0 <= n < 1 << 63 for n in view[1:])
        ):
            raise PickleError(f"storage view {shown(view)}", expected="(key, offset, size)")
        return TypedStorage(same_size(storage, nbytes), dtype, view[1] * (dtype.itemsize if dtype else 1))


def _recognises(probe: Probe) -> bool:
    if probe.head[:1] not in (b"\x80", b"L"):
        return False
    try:
        found = read_pickle(Memory(probe.head[:64]), limits=_MAGIC_LIMITS).value
    except WeightliftError:
        return False
    return type(found) is int and found == MAGIC


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    return open_stream(probe.source, opening)


def open_stream(source: Source, opening: Opening) -> Checkpoint:
    """Return what a legacy stream holds. Reads the pickles and 8 bytes per storage."""
    limits = opening.limits
    at = opening.read(source, 0, limits=limits).end
    protocol = opening.read(source, at, limits=limits)
    if protocol.value != 1001:
        raise ContainerError(f"protocol version {shown(protocol.value, 40)}", expected="1001")
    system = opening.read(source, protocol.end, limits=limits)
    info = system.value if isinstance(system.value, dict) else {}
    storages = _Storages(little_endian=info.get("little_endian", True) is not False)
    blobs = NestedBlobs(opening)
    rebuild = rebuilders(storage_from_bytes=blobs)
    pickle = opening.read(source, system.end, rebuild=rebuild, persistent=storages, limits=limits)
    keys = opening.read(source, pickle.end, limits=limits)
    if not isinstance(keys.value, list):
        raise ContainerError(f"{shown(keys.value, 40)} where the storage keys should be", expected="a list")
    end = _place(source, keys.end, [worded(key) for key in keys.value], storages)
    details = {"system": info, "storages": len(storages.by_key), "pickle_protocol": pickle.protocol}
    if storages.modules:
        details["embedded_sources"] = storages.modules
    return Checkpoint(
        pickle.value,
        format="torch-legacy",
        source=source,
        details=details,
        globals=blobs.settle(pickle.globals),
        findings=after_end(source, end, "the last storage", what="torch-legacy"),
        limits=limits,
    )


def _place(source: Source, at: int, keys: list[str], storages: _Storages) -> int:
    """Give every storage its bytes; return where the last one ends."""
    order = "little" if storages.little_endian else "big"
    seen: set[str] = set()
    for key in keys:
        storage = storages.by_key.get(key)
        if storage is None or key in seen:
            raise ContainerError(f"storage key {key!r} in the list", expected="each key of the pickle once")
        seen.add(key)
        numel = int.from_bytes(source.read_at(at, 8), order)  # type: ignore[arg-type]
        nbytes = numel * storages.itemsize[key]
        if nbytes != storage.nbytes:
            raise ContainerError(f"storage {key!r} has {nbytes} bytes at byte {at}", expected=f"{storage.nbytes}")
        try:
            storage.data = source.window(at + 8, nbytes, f"storage {key}")
        except MalformedError as error:
            error.at(f"storage {key!r}")
            raise
        at += 8 + nbytes
    return at


FORMAT = Format("torch-legacy", _recognises, _open)
