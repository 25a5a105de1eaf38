"""Members of a zip, whatever they are called; in one that readers could read differently, every reading."""

from __future__ import annotations

from ..containers import Member, ZipArchive
from ..containers.zip_layout import check_all, judged_gaps
from ..containers.zip_readings import readings
from ..errors import ContainerError, LimitError, TwoReadingsError, WeightliftError
from ..formats.torch_zip import refuse_bomb
from ..sources import Source
from .archives_in_a_row import archives_in_a_row
from .gathered import Gathered
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
        scan_every_reading(source, where, gathered, inner)
        return True
    _scan_members(archive, where, gathered, inner)
    return True


def _scan_members(archive: ZipArchive, where: str, gathered: Gathered, inner: ScanInner) -> None:
    names = sorted(archive.names(), key=lambda name: name.rpartition("/")[2] not in _PICKLES)  # storages known first
    tensors: set[str] = set()
    is_script = any(name.endswith("/constants.pkl") for name in names)  # by this torch tells one
    gathered.depth += 1
    for name in names:
        member = archive.members[name]
        is_tensor = name in tensors
        if member.nbytes == 0 or name.endswith("/"):
            continue
        place = f"{where}/{name}" if where else name
        try:
            if not is_tensor:
                gathered.in_script = is_script and name.rpartition("/")[2] in _PICKLES
                _scan_member(archive, member, place, gathered, inner)
            elif gathered.deep:
                search(archive.open(name), 0, place, gathered)
        except WeightliftError as error:
            gathered.failed(error, place)
        finally:
            gathered.in_script = False
        if name.rpartition("/")[2] in _PICKLES:
            tensors |= {f"{name.removesuffix('.pkl')}/{key}" for key in gathered.storages}
        gathered.storages.clear()
    gathered.depth -= 1
    _scan_layout(archive, where, gathered, inner)


def _scan_layout(archive: ZipArchive, where: str, gathered: Gathered, inner: ScanInner) -> None:
    """Hold every local header against the directory, and look into bytes that belong to no member."""
    found = list(check_all(archive.source, archive.members.values(), archive.directory_at))
    gaps = [each for each in found if isinstance(each, tuple)]
    wrong = [each for each in found if isinstance(each, ContainerError)]
    try:
        for finding in judged_gaps(archive.source, gaps):
            gathered.note(finding.code, where, finding.message)
    except TwoReadingsError as error:
        wrong.append(error)
    for problem in wrong:
        gathered.failed(problem, where)
    gathered.depth += 1
    for at, nbytes in gaps:
        inner(archive.source.window(at, nbytes), f"{where}: bytes from {at}" if where else f"bytes from {at}", gathered)
    gathered.depth -= 1
    if any(isinstance(problem, TwoReadingsError) for problem in wrong):
        scan_every_reading(archive.source, where, gathered, inner)


def _scan_member(archive: ZipArchive, member: Member, place: str, gathered: Gathered, inner: ScanInner) -> None:
    source = archive.open_member(member, told=lambda error: gathered.failed(error, place))  # torch reads on
    head = source.read_up_to(0, 2)
    if head in PROTOS or member.name.endswith(_NAMED):
        refuse_bomb(member)
    if is_code(member.name):
        scan_code(archive.read(member.name), place, gathered)
    known = inner(source, place, gathered)
    if not known and member.name.endswith(_NAMED):
        gathered.unreadable("malformed", place, "a pickle by its name, and none by its content")


def scan_every_reading(source: Source, where: str, gathered: Gathered, inner: ScanInner) -> None:
    """Look into everything that any reader could take for a member, each place once."""
    seen: set[int] = set()
    gathered.depth += 1
    for _, archive in readings(source, gathered.limits):
        for member in archive.entries:
            if member.header_offset in seen or len(seen) > gathered.limits.members:
                continue
            seen.add(member.header_offset)
            try:
                inner(archive.open_member(member), f"{where}/{member.name}" if where else member.name, gathered)
            except WeightliftError:  # nobody can read it: that readers differ is told already
                continue
    gathered.depth -= 1
