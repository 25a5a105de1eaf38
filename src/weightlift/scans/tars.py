"""Members of a tar, read as strictly as the reader does; where that refuses, every header is followed."""

from __future__ import annotations

from ..containers.tar import read_tar, sparse_members
from ..errors import ContainerError, TwoReadingsError, WeightliftError
from ..sources import Source
from .gathered import Gathered
from .pickled import ScanInner, scan_pickles

_TWO_KINDS = TwoReadingsError(
    "a tar that begins as a pickle",
    code="two-kinds",
    readings=("readers of tars (torch) take its members", "unpicklers take what the name of the first member spells"),
    expected="one kind of file",
)


def scan_tar(source: Source, where: str, gathered: Gathered, inner: ScanInner) -> None:
    """Look into every regular and every sparse member, copies of one name included."""
    members: list[tuple[str, Source | WeightliftError]]
    try:
        members = [*read_tar(source, gathered.limits).items(), *sparse_members(source, gathered.limits)]
    except ContainerError as error:
        gathered.failed(error, where)
        members = [*_headers(source, gathered.limits.members)]
    gathered.depth += 1
    for name, member in members:
        place = f"{where}/{name}" if where else name
        if isinstance(member, WeightliftError):
            gathered.failed(member, place)
        else:
            inner(member, place, gathered)
    gathered.depth -= 1
    # a name can be a pickle: the first header is what an unpickler would begin with
    if scan_pickles(source, where, gathered, inner):
        gathered.failed(_TWO_KINDS, where)


def _headers(source: Source, most: int) -> list[tuple[str, Source]]:
    """Follow the headers of a tar from its first byte, sizes as they say."""
    members: list[tuple[str, Source]] = []
    at = 0
    while at + 512 <= source.size and len(members) < most:
        head = source.read_at(at, 512)
        try:
            nbytes = int(head[124:136].strip(b"\0 ") or b"0", 8)
        except ValueError:
            break
        if not head.strip(b"\0"):
            at += 512
            continue
        name = head[:100].rstrip(b"\0").decode("utf-8", "backslashreplace")
        at += 512
        if head[156:157] in b"0\0" and nbytes:
            members.append((name, source.window(at, min(nbytes, source.size - at), name)))
        at += -(-nbytes // 512) * 512
    return members
