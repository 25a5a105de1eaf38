"""Members of a zip, whatever they are called; in one that readers could read differently, every reading."""

from __future__ import annotations

from ..containers import Member, ZipArchive
from ..errors import LimitError, WeightliftError
from ..formats.torch_zip import refuse_bomb
from ..sources import Source
from .gathered import Gathered
from .loose_zip import archives_in_a_row, entries
from .pickled import PROTOS, ScanInner, search
from .programs import is_code, scan_code

_PICKLES = ("data.pkl", "constants.pkl")
_IN_A_ROW = ".distcp"  # torch.distributed.checkpoint: its metadata says where each archive begins
_NAMED = (".pkl", ".pickle", ".joblib", ".dill")


def scan_zip(source: Source, where: str, gathered: Gathered, inner: ScanInner) -> bool:
    """Look into every member that is no storage of the archive's own pickles. True: it is a zip."""
    probe = gathered.probe
    try:
        archive = probe.archive if probe and probe.source is source else ZipArchive(source, gathered.limits)
    except LimitError:
        raise
    except WeightliftError as error:
        if source.name.endswith(_IN_A_ROW) and (rows := archives_in_a_row(source, gathered.limits.members)):
            for number, part in enumerate(rows, 1):
                _scan_members(
                    ZipArchive(part, gathered.limits), f"{where or source.name}: zip {number}", gathered, inner
                )
            gathered.own_format = gathered.own_format if where else "torch-dcp-data"
            return True
        gathered.failed(error, where)
        _scan_loosely(source, where, gathered, inner)
        return True
    _scan_members(archive, where, gathered, inner)
    return True


def _scan_members(archive: ZipArchive, where: str, gathered: Gathered, inner: ScanInner) -> None:
    names = sorted(archive.names(), key=lambda name: name.rpartition("/")[2] not in _PICKLES)  # storages known first
    tensors: set[str] = set()
    gathered.depth += 1
    for name in names:
        member = archive.members[name]
        is_tensor = name in tensors
        if member.nbytes == 0 or name.endswith("/") or (is_tensor and not gathered.deep):
            continue
        place = f"{where}/{name}" if where else name
        try:
            if is_tensor:
                search(archive.open(name), 0, place, gathered)
            else:
                _scan_member(archive, member, place, gathered, inner)
        except WeightliftError as error:
            gathered.failed(error, place)
        if name.rpartition("/")[2] in _PICKLES:
            tensors |= {f"{name.removesuffix('.pkl')}/{key}" for key in gathered.storages}
        gathered.storages.clear()
    gathered.depth -= 1


def _scan_member(archive: ZipArchive, member: Member, place: str, gathered: Gathered, inner: ScanInner) -> None:
    source = archive.open(member.name)
    head = source.read_up_to(0, 2)
    if head in PROTOS or member.name.endswith(_NAMED):
        refuse_bomb(member)
    if is_code(member.name):
        scan_code(archive.read(member.name), place, gathered)
        return
    known = inner(source, place, gathered)
    if not known and member.name.endswith(_NAMED):
        gathered.unreadable("malformed", place, "a pickle by its name, and none by its content")


def _scan_loosely(source: Source, where: str, gathered: Gathered, inner: ScanInner) -> None:
    """Look into everything that any reader could take for a member."""
    gathered.depth += 1
    for name, data in entries(source, gathered.limits):
        place = f"{where}/{name}" if where else name
        inner(data, place, gathered)
    gathered.depth -= 1
