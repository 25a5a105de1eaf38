"""A tar's members as byte ranges. The standard library parses it; nothing is ever extracted."""

from __future__ import annotations

from ..errors import ContainerError, LimitError, TwoReadingsError, WeightliftError, plural, shown
from ..findings import Finding
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Memory, Source
from ..typed import Any
from ..values import dataclass, field
from .zip_end import refuse_zip_at_end

_PADDING = 1 << 16  # bytes: a tar ends with zeros, to a full record of usually 10,240
_HEADER = 512
_MAGIC, _CHECKSUM = slice(257, 262), slice(148, 156)
_MOST_SPARSE = 64 << 20  # bytes of a sparse file that are put together


class _Reader:
    """The file object that `tarfile` asks for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def read(self, nbytes: int = -1) -> bytes:
        data = self._source.read_up_to(self._at, self._source.size if nbytes < 0 else nbytes)
        self._at += len(data)
        return data

    def seek(self, offset: int) -> int:
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at


def looks_like_tar(head: bytes) -> bool:
    """Whether the first 512 bytes are, or were meant to be, the header of a tar."""
    return head[_MAGIC] == b"ustar" or is_tar_header(head)


def is_tar_header(head: bytes) -> bool:
    """Whether 512 bytes have the checksum of a header in them, by which Python's tarfile knows one.

    Tars from before POSIX have no other mark, and torch.load tries every file as a tar.
    """
    if len(head) < _HEADER:
        return False
    others = head[: _CHECKSUM.start] + b" " * 8 + head[_CHECKSUM.stop : _HEADER]
    unsigned = sum(others)
    signed = unsigned - 256 * sum(byte > 127 for byte in others)
    return _number(head[_CHECKSUM]) in (unsigned, signed)


def _number(text: bytes) -> int | None:
    """A number in a header as tarfile reads it: octal, or binary behind a first byte that says so."""
    if text[0] in (0o200, 0o377):
        return int.from_bytes(text[1:], "big") - (256 ** (len(text) - 1) if text[0] == 0o377 else 0)
    try:
        return int(text.partition(b"\0")[0].decode("ascii").strip() or "0", 8)
    except ValueError:
        return None


def read_tar(source: Source, limits: Limits = DEFAULT_LIMITS) -> dict[str, Source]:
    """Return name -> bytes for the regular files of an uncompressed tar. Reads the headers only.

    Raises:
        TwoReadingsError: two members of one name, of which readers take different ones. ContainerError: headers
        that cannot be read. LimitError: more members than `limits`.
    """
    return _read(source, limits).members


def sparse_members(source: Source, limits: Limits = DEFAULT_LIMITS) -> list[tuple[str, Source | WeightliftError]]:
    """Return the sparse files of a tar, each put together from its pieces, or why it cannot be. Reads them."""
    found: list[tuple[str, Source | WeightliftError]] = []
    left = min(_MOST_SPARSE, limits.inflated_bytes)
    for name, info in _read(source, limits).sparse:
        try:
            found.append((name, _put_together(source, name, info, left)))
        except WeightliftError as error:
            found.append((name, error.at(repr(name))))
        else:
            left -= info.size
    return found


def _put_together(source: Source, name: str, info: Any, most: int) -> Source:
    if info.size > most:
        raise LimitError(f"a sparse file of {info.size} bytes", expected=f"at most {most} in all sparse files")
    data, at, end = bytearray(max(0, info.size)), info.offset_data, 0
    for offset, nbytes in info.sparse:
        if nbytes == 0:  # how a list of pieces is filled up
            continue
        if offset < end or nbytes < 0 or offset + nbytes > info.size:
            raise ContainerError("a sparse file whose pieces do not follow each other", expected="them in order")
        data[offset : offset + nbytes] = source.read_at(at, nbytes)
        at, end = at + nbytes, offset + nbytes
    return Memory(bytes(data), name)


def tar_findings(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[Finding, ...]:
    """Return what is worth telling of a tar: members that are no files, and bytes behind its end."""
    read = _read(source, limits)
    links, end = read.others, read.end
    findings = []
    if links:
        message = f"{plural(len(links), 'member')} that {'is' if len(links) == 1 else 'are'} no plain file: "
        message += ", ".join(f"{name!r} ({what})" for name, what in links[:4]) + (" ..." if len(links) > 4 else "")
        findings.append(Finding("special-members", "warning", "", message))
    left = source.size - end
    if left > _PADDING or source.read_up_to(end, left).strip(b"\0"):
        refuse_zip_at_end(source, "a tar", behind=end)
        message = f"{left:,} bytes at byte {end:,} follow the end of the last member"
        findings.append(Finding("trailing-bytes", "warning", "", message))
    return tuple(findings)


@dataclass(slots=True)
class _Tar:
    """Name -> bytes, other members with what they are, those that are sparse, and where the last member ends."""

    members: dict[str, Source] = field(default_factory=dict)
    others: list[tuple[str, str]] = field(default_factory=list)
    sparse: list[tuple[str, Any]] = field(default_factory=list)
    end: int = 0


def _read(source: Source, limits: Limits) -> _Tar:
    import tarfile  # costs a dozen imports and only the oldest checkpoints need it

    read = _Tar()
    members, others = read.members, read.others
    offsets: dict[str, int] = {}
    reader: Any = _Reader(source)
    try:
        with tarfile.open(fileobj=reader, mode="r:") as archive:
            for info in archive:
                if len(members) + len(others) >= limits.members:
                    raise LimitError(f"the tar lists more than {limits.members} members")
                read.end = max(read.end, archive.offset)
                name = info.name.removeprefix("./")
                if not info.isdir() and name in offsets:
                    raise _two_of_a_name(name, offsets[name], info.offset)
                if info.isreg() and not info.issparse():
                    offsets[name] = info.offset
                    members[name] = source.window(info.offset_data, info.size, name)
                elif not info.isdir():
                    offsets[name] = info.offset
                    others.append((name, _kind(info)))
                    if info.issparse():
                        read.sparse.append((name, info))
    except WeightliftError:
        raise
    except Exception as error:  # noqa: BLE001 - of broken headers tarfile lets ValueError, IndexError and more out
        raise ContainerError(f"the tar cannot be read ({shown(error)})") from None
    return read


def _kind(info: Any) -> str:
    if info.issym() or info.islnk():
        return f"a link to {info.linkname!r}"
    return "a sparse file" if info.issparse() else "a device or another special file"


def _two_of_a_name(name: str, first: int, second: int) -> TwoReadingsError:
    return TwoReadingsError(
        f"two members are called {name!r}",
        code="duplicate-name",
        readings=(
            f"unpacking, and Python's tarfile by name, gives the last, whose header is at byte {second}",
            f"readers that stop at the first take the one at byte {first}",
        ),
        expected="each name once",
    )
