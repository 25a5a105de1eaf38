"""A tar's members as byte ranges. The standard library parses it; nothing is ever extracted."""

from __future__ import annotations

from ..errors import ContainerError, LimitError, TwoReadingsError, WeightliftError, plural, shown
from ..findings import Finding
from ..limits import DEFAULT_LIMITS, Limits
from ..sources import Source
from ..typed import Any
from .zip_end import refuse_zip_at_end

_PADDING = 1 << 16  # bytes: a tar ends with zeros, to a full record of usually 10,240


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


def read_tar(source: Source, limits: Limits = DEFAULT_LIMITS) -> dict[str, Source]:
    """Return name -> bytes for the regular files of an uncompressed tar. Reads the headers only.

    Raises:
        TwoReadingsError: two members of one name, of which readers take different ones. ContainerError: headers
        that cannot be read. LimitError: more members than `limits`.
    """
    return _read(source, limits)[0]


def tar_findings(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[Finding, ...]:
    """Return what is worth telling of a tar: members that are no files, and bytes behind its end."""
    _, links, end = _read(source, limits)
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


def _read(source: Source, limits: Limits) -> tuple[dict[str, Source], list[tuple[str, str]], int]:
    """Return (name -> bytes, other members with what they are, where the last member ends)."""
    import tarfile  # costs a dozen imports and only the oldest checkpoints need it

    members: dict[str, Source] = {}
    offsets: dict[str, int] = {}
    others: list[tuple[str, str]] = []
    end = 0
    reader: Any = _Reader(source)
    try:
        with tarfile.open(fileobj=reader, mode="r:") as archive:
            for info in archive:
                if len(members) + len(others) >= limits.members:
                    raise LimitError(f"the tar lists more than {limits.members} members")
                end = max(end, archive.offset)
                name = info.name.removeprefix("./")
                if not info.isdir() and name in offsets:
                    raise _two_of_a_name(name, offsets[name], info.offset)
                if info.isreg() and not info.issparse():
                    offsets[name] = info.offset
                    members[name] = source.window(info.offset_data, info.size, name)
                elif not info.isdir():
                    offsets[name] = info.offset
                    others.append((name, _kind(info)))
    except WeightliftError:
        raise
    except Exception as error:  # noqa: BLE001 - of broken headers tarfile lets ValueError, IndexError and more out
        raise ContainerError(f"the tar cannot be read ({shown(error)})") from None
    return members, others, end


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
