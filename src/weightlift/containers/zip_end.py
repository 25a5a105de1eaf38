"""Where a zip's directory lies, by the record at its end; what two kinds of readers would each take.

torch reads zips by miniz: the last end record that fits, whatever its comment says; the zip64 record that
the locator names; offsets from the first byte. Python's zipfile counts back from the end record instead: the
directory ends where the record begins, and a zip64 record stands right before its locator. A file made for
it shows each of them other members, so that one on which they disagree is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ContainerError, MalformedError, TruncatedError, TwoReadingsError, UnsupportedError
from ..sources import Source
from ..values import dataclass, replace
from .zip_records import CENTRAL, END, END64, FULL16, FULL32, LOCATOR64, decoded

_TAIL = END.size + FULL16
_MOST_RECORDS = 8
TORCH, ZIPFILE = "torch", "Python's zipfile"


@dataclass(frozen=True, slots=True)
class Directory:
    """What an end record says of the directory, in bytes; `end_at` is where the directory has to end."""

    count: int
    nbytes: int
    offset: int
    end_at: int
    record_at: int
    comment_nbytes: int = 0
    shift: int = 0
    """What a reader that counts back adds to every offset."""


def find_directory(source: Source) -> Directory:
    """Return where the directory is, which has to be one place for every reader.

    Raises:
        TruncatedError: no end record. TwoReadingsError: readers would take two directories. ContainerError:
        the records contradict themselves. UnsupportedError: a split archive.
    """
    plain = _one_end_record(source)
    found = _with_zip64(source, plain, adjacent=False)
    if _with_zip64(source, plain, adjacent=True) != found:
        raise _two_directories(
            source, "zip64-records", "the zip64 locator does not name the record before it", plain, expected="one"
        )
    if found is not plain:
        for short, full, most in (
            (plain.count, found.count, FULL16),
            (plain.nbytes, found.nbytes, FULL32),
            (plain.offset, found.offset, FULL32),
        ):
            if short not in (full, most):
                raise ContainerError(f"the zip's two end records say {short} and {full}", expected="one answer")
    if found.offset + found.nbytes != found.end_at:
        raise _two_directories(
            source,
            "zip-joined",
            f"the zip directory is said to end at byte {found.offset + found.nbytes} and its end record is at "
            f"{found.end_at}",
            plain,
            expected="one archive from the first byte to the last",
        )
    return found


def as_torch_reads(source: Source) -> Directory | None:
    """Return the directory that miniz, and so torch, would take."""
    records = _records(source)
    return _with_zip64(source, records[-1], adjacent=False) if records else None


def as_zipfile_reads(source: Source) -> Directory | None:
    """Return the directory that Python's zipfile would take: counted back from the end record."""
    records = _records(source)
    if not records:
        return None
    at_end = source.size - END.size
    bare = [each for each in records if each.record_at == at_end and not each.comment_nbytes]
    return _counted_back(_with_zip64(source, (bare or records)[-1], adjacent=True))


def other_directories(source: Source) -> Iterator[Directory]:
    """Yield the directories that the last few end records name, each by its offset and counted back."""
    for record in _records(source)[-_MOST_RECORDS:]:
        yield record
        yield _counted_back(record)


def _counted_back(directory: Directory) -> Directory:
    offset = directory.end_at - directory.nbytes
    return replace(directory, offset=offset, shift=offset - directory.offset)


def refuse_zip_at_end(source: Source, what: str, *, behind: int | None = None) -> None:
    """Refuse a source that was taken for something else, `what`, and is a zip for who looks at its end.

    Reads the last 64 KiB. Data may hold a zip, so that an end record counts whose comment ends with the
    source; or, where nothing but a zip can stand `behind` a byte, any that does.

    Raises:
        TwoReadingsError: says what each reader takes.
    """
    try:
        found = as_zipfile_reads(source)
    except MalformedError:
        return
    if found is None or (not _reaches_end(found, source) and (behind is None or found.record_at < behind)):
        return
    name = _first_name(source, found.offset)
    if name is None:
        return
    raise TwoReadingsError(
        f"begins as {what} and ends as a zip",
        code="two-kinds",
        readings=(
            f"readers that look at the beginning (torch) take {what}",
            f"readers that look at the end ({ZIPFILE}) take {_reading(source, found)}, listed at byte {found.offset}",
        ),
        expected="one kind of file",
        remedy="cut it into the two files that it is",
    )


def _records(source: Source) -> list[Directory]:
    """Every end record that the last 64 KiB could hold, in the order of the file."""
    tail_at = max(0, source.size - _TAIL)
    tail = source.read_at(tail_at, source.size - tail_at)
    found = []
    at = tail.find(b"PK\5\6")
    while 0 <= at <= len(tail) - END.size:
        _, _, _, _, count, size, offset, comment = END.unpack_from(tail, at)
        found.append(Directory(count, size, offset, tail_at + at, tail_at + at, comment))
        at = tail.find(b"PK\5\6", at + 1)
    return found


def _reaches_end(record: Directory, source: Source) -> bool:
    return record.record_at + END.size + record.comment_nbytes == source.size


def _one_end_record(source: Source) -> Directory:
    records = _records(source)
    if not records:
        raise TruncatedError(
            "a zip without its end record", expected="a complete archive", remedy="fetch or save the file again"
        )
    last, whole = records[-1], [each for each in records if _reaches_end(each, source)]
    if len(whole) > 1 or (whole and whole[-1] is not last):
        place = f"the one at byte {whole[0].record_at}"
        raise TwoReadingsError(
            f"the zip ends with {len(whole) + (whole[-1] is not last)} end records",
            code="two-end-records",
            readings=(
                f"{TORCH} takes the one at byte {last.record_at} ({_reading(source, last)})",
                f"readers that look for a comment that ends the file take {place} ({_reading(source, whole[0])})",
            ),
            expected="one",
        )
    if not whole:
        beyond = source.size - last.record_at - END.size - last.comment_nbytes
        raise ContainerError(f"{beyond} bytes follow the zip's end record", expected="it at the very end")
    _, disk, cd_disk, here, count, *_ = END.unpack(source.read_at(last.record_at, END.size))
    if (disk or cd_disk or here != count) and FULL16 not in (disk, cd_disk, here):
        raise UnsupportedError("a zip that is split over several disks", remedy="join it first")
    return last


def _with_zip64(source: Source, plain: Directory, *, adjacent: bool) -> Directory:
    """Return what the zip64 end record says where there is one (torch writes one always), else `plain`."""
    locator_at = plain.record_at - LOCATOR64.size
    if locator_at < 0:
        return plain
    magic, _, at, _ = LOCATOR64.unpack(source.read_at(locator_at, LOCATOR64.size))
    if magic != b"PK\6\7":
        return plain
    if adjacent and source.read_up_to(max(0, locator_at - END64.size), 4) == b"PK\6\6":
        at = locator_at - END64.size
    fields = END64.unpack(source.read_at(at, END64.size))
    if fields[0] != b"PK\6\6":
        raise ContainerError(f"no zip64 end record at byte {at}", expected="the one its locator names")
    return Directory(fields[7], fields[8], fields[9], at, plain.record_at, plain.comment_nbytes)


def _two_directories(source: Source, code: str, found: str, plain: Directory, expected: str) -> ContainerError:
    """The error that says which directory each kind of reader takes."""
    torch = _with_zip64(source, plain, adjacent=False)
    back = _counted_back(_with_zip64(source, plain, adjacent=True))
    remedy = "cut away what was put before or after it"
    if not any(each.offset >= 0 and _first_name(source, each.offset) is not None for each in (torch, back)):
        return ContainerError(found, expected=expected, remedy=remedy)
    readings = tuple(
        f"{who} looks for the directory at byte {each.offset} ({_reading(source, each)})"
        for who, each in ((TORCH, torch), (ZIPFILE, back))
    )
    return TwoReadingsError(found, code=code, readings=readings, expected=expected, remedy=remedy)


def _reading(source: Source, directory: Directory) -> str:
    """What a reader finds there, in a few words."""
    name = _first_name(source, directory.offset)
    if name is None:
        return "there is none"
    return f"{directory.count} members, the first {name!r}" if directory.count < FULL16 else f"the first is {name!r}"


def _first_name(source: Source, at: int) -> str | None:
    head = source.read_up_to(at, CENTRAL.size) if 0 <= at < source.size else b""
    if len(head) < CENTRAL.size or head[:4] != b"PK\1\2":
        return None
    fields = CENTRAL.unpack(head)
    return decoded(source.read_up_to(at + CENTRAL.size, fields[10]), fields[3])
