"""The zip that torch.save writes since 1.6: `<prefix>/data.pkl` and a member per storage.

Follows torch/serialization.py `_save` and `_load`. The prefix can be anything; storages are members
`data/<key>`, at any alignment, stored or compressed.
"""

from __future__ import annotations

from ..checkpoint import Checkpoint
from ..containers import Member, ZipArchive
from ..dtypes import BY_STORAGE_CLASS
from ..errors import ContainerError, LimitError, PickleError, TwoReadingsError, plural, shown, worded
from ..findings import Finding
from ..limits import MIB
from ..pickles import Global, Pickle
from ..pickles.state import Rebuild
from ..tensors import Storage, rebuilders
from ..tensors.rebuild import TypedStorage
from ..typed import Any
from ..values import replace
from .base import Format, Opening, Probe
from .integrity import after_end
from .member_names import check_torch_names
from .nested import NestedBlobs
from .skipped_data import settle_skipped

_BOMB_BYTES = 8 * MIB
_BOMB_RATIO = 100
_LONGEST_WORD = 100


class StorageLoader:
    """Stands in for torch's `persistent_load`: ids of storages to lazy storages, each made once."""

    def __init__(self, archive: ZipArchive, prefix: str) -> None:
        self.archive = archive
        self.prefix = prefix  # of the storages' members
        self.little_endian = True
        self.storages: dict[str, Storage] = {}

    def __call__(self, identifier: Any) -> TypedStorage:
        """Return the storage of ('storage', class, key, location, numel).

        Raises:
            PickleError: another kind of id, a storage class that torch does not have, or a size that
            contradicts an earlier id of the same storage.
        """
        dtype, key, location, nbytes = storage_id(identifier)
        storage = self.storages.get(key)
        if storage is None:
            storage = self.storages[key] = self._storage(key, location, nbytes)
        return TypedStorage(same_size(storage, nbytes), dtype)

    def findings(self) -> list[Finding]:
        """What is worth telling of the members: more bytes than the pickle claims, members that it does not name."""
        out = []
        for key, storage in self.storages.items():
            size = storage.data.size if storage.data is not None else 0
            if size > storage.nbytes and not storage.absent:
                message = f"{size - storage.nbytes:,} of its {size:,} bytes belong to no storage: the pickle claims "
                message += f"{storage.nbytes:,}"
                out.append(Finding("storage-size", "warning", f"{self.prefix}{key}", message))
        start = len(self.prefix)
        members = self.archive.members
        left = [n for n in members if n.startswith(self.prefix) and n[start:] not in self.storages and n[-1] != "/"]
        if left:
            nbytes = sum(members[name].nbytes for name in left)
            listed = ", ".join(left[:4]) + (" ..." if len(left) > 4 else "")
            message = f"{plural(len(left), 'storage')} of {nbytes:,} bytes that the pickle does not name: {listed}"
            out.append(Finding("unreferenced-storage", "warning", "", message))
        return out

    def _storage(self, key: str, location: str, nbytes: int) -> Storage:
        member = self.archive.members.get(f"{self.prefix}{key}")
        return Storage(
            key,
            nbytes,
            self.archive.open(f"{self.prefix}{key}") if member else None,
            device=location,
            little_endian=self.little_endian,
        )


def same_size(storage: Storage, nbytes: int) -> Storage:
    """Return the storage, which every persistent id has to give one size.

    Raises:
        PickleError: this id claims another size.
    """
    if storage.nbytes != nbytes:
        raise PickleError(f"storage {storage.key!r} of {nbytes} bytes", expected=f"the {storage.nbytes} claimed before")
    return storage


def storage_id(identifier: Any) -> tuple[Any, str, str, int]:
    """Return (dtype or None for untyped, key, location, nbytes) of a storage's persistent id.

    Raises:
        PickleError: it is no id that torch writes.
    """
    if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] not in ("storage", b"storage"):
        raise PickleError(f"persistent id {shown(identifier)}", expected="('storage', class, key, location, numel)")
    _, cls, key, location, numel = identifier[:5]
    if not isinstance(cls, Global) or type(numel) is not int or not 0 <= numel < 1 << 63:
        raise PickleError(f"persistent id {shown(identifier)}", expected="a storage class and a number of elements")
    if cls.name in ("UntypedStorage", "_UntypedStorage"):
        return None, worded(key), worded(location), numel
    dtype = BY_STORAGE_CLASS.get(cls.name)
    if dtype is None:
        raise PickleError(f"storage class {cls}", expected=f"one of {', '.join(BY_STORAGE_CLASS)}")
    return dtype, worded(key), worded(location), numel * dtype.itemsize  # torch counts packed types in bytes


def read_torch_pickle(
    archive: ZipArchive, name: str, opening: Opening, loader: StorageLoader, **more: Rebuild
) -> Pickle:
    """Return the `Pickle` of one member, its tensors lazy.

    Raises:
        LimitError: the member is compressed so well that it can only be a bomb.
    """
    refuse_bomb(archive.members[name])
    blobs = NestedBlobs(opening)
    rebuild = rebuilders(storage_from_bytes=blobs, **more)
    read = opening.read(archive.open(name, checked=True), rebuild=rebuild, persistent=loader, limits=opening.limits)
    return replace(read, globals=blobs.settle(read.globals))


def refuse_bomb(member: Member) -> None:
    """Raise for a pickle that is compressed so well that it can only be made to fill the machine.

    Raises:
        LimitError: it is.
    """
    if member.nbytes > _BOMB_BYTES and member.nbytes > _BOMB_RATIO * member.compressed_nbytes:
        raise LimitError(
            f"{member.name!r} inflates from {member.compressed_nbytes} to {member.nbytes} bytes",
            expected=f"a pickle, which never compresses {_BOMB_RATIO}-fold",
        )


def byteorder(archive: ZipArchive, prefix: str) -> str:
    """Return "little" or "big"; files without the member are little-endian.

    Raises:
        ContainerError: the member says something else.
    """
    name = f"{prefix}byteorder"
    order = "little"
    if name in archive:
        if archive.members[name].nbytes > _LONGEST_WORD:
            raise ContainerError(f"byteorder of {archive.members[name].nbytes} bytes", expected="little or big")
        order = archive.read(name).decode("ascii", "replace").strip()
    if order not in ("little", "big"):
        raise ContainerError(f"byteorder {shown(order, 20)}", expected="little or big")
    return order


def archive_facts(archive: ZipArchive, prefix: str) -> dict[str, Any]:
    """Return what the small members of a torch archive say about it."""
    facts: dict[str, Any] = {"prefix": prefix.removesuffix("/"), "byteorder": byteorder(archive, prefix)}
    for key, names in {
        "version": ("version", ".data/version"),
        "serialization_id": (".data/serialization_id",),
    }.items():
        for name in names:
            if f"{prefix}{name}" in archive and archive.members[f"{prefix}{name}"].nbytes < _LONGEST_WORD:
                facts[key] = archive.read(f"{prefix}{name}").decode("ascii", "replace").strip()
    return facts


def after_pickle(archive: ZipArchive, name: str, end: int) -> tuple[Finding, ...]:
    """Return what there is to say of bytes behind a member's pickle."""
    return after_end(archive.open(name), end, "the end of the pickle", what="a pickle", where=name.rpartition("/")[2])


def _several_roots(first: str, roots: list[str]) -> TwoReadingsError:
    folder = first.partition("/")[0]
    return TwoReadingsError(
        f"several data.pkl: {', '.join(roots[:4])}",
        code="several-pickles",
        readings=(
            f"torch takes {folder + '/data.pkl'!r}, in the folder of the first member",
            f"readers that search for it by name take {roots[0]!r} or {roots[-1]!r}",
        ),
        expected="one",
    )


_SMALL_MEMBERS = ("data.pkl", "version", "byteorder", ".format_version", ".storage_alignment")


def _is_ours(name: str, prefix: str) -> bool:
    """Whether torch writes a member of this name."""
    inner = name.removeprefix(prefix)
    return name.startswith(prefix) and (inner in _SMALL_MEMBERS or inner.startswith(("data/", ".data/")))


def _recognises(probe: Probe) -> bool:
    return probe.prefix is not None and f"{probe.prefix}constants.pkl" not in probe.names


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    archive, prefix = probe.archive, probe.prefix or ""
    check_torch_names(archive)
    roots = [n for n in probe.names if n.endswith("data.pkl") and n.rpartition("/")[2] == "data.pkl"]
    if len(roots) > 1:
        raise _several_roots(probe.names[0], roots)
    facts = archive_facts(archive, prefix)
    loader = StorageLoader(archive, f"{prefix}data/")
    loader.little_endian = facts["byteorder"] == "little"
    pickle = read_torch_pickle(archive, f"{prefix}data.pkl", opening, loader)
    findings = [*settle_skipped(archive, f"{prefix}data.pkl", loader.prefix, loader.storages)]
    if others := [name for name in archive.names() if not _is_ours(name, prefix)]:
        listed = ", ".join(others[:4]) + (" ..." if len(others) > 4 else "")
        message = f"{plural(len(others), 'member')} that torch does not write: {listed}"
        findings.append(Finding("extra-members", "warning", "", message))
    findings += after_pickle(archive, f"{prefix}data.pkl", pickle.end)
    findings += loader.findings()
    return Checkpoint(
        pickle.value,
        format="torch-zip",
        source=probe.source,
        details={**facts, "pickle_protocol": pickle.protocol, "storages": len(loader.storages)},
        globals=pickle.globals,
        findings=tuple(findings),
        limits=opening.limits,
    )


FORMAT = Format("torch-zip", _recognises, _open)
