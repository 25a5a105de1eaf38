"""Storages of a torch zip whose CRC is 0: saved without their data, or written without a CRC.

`torch.serialization.skip_data` writes the header of a member, with CRC 0, and leaves zeros where its bytes would be,
for somebody to fill in; `set_crc32_options(False)` writes the bytes, and CRC 0 everywhere. The bytes tell which it
was, except where they are zeros: those may be values that nobody has written, and are not handed out.
"""

from __future__ import annotations

from ..containers import ZipArchive
from ..containers.zip_records import STORED
from ..errors import WeightliftError, plural
from ..findings import Finding
from ..limits import MIB
from ..sources import Source
from ..tensors import Storage

_CHUNK = MIB
_LOOKED_THROUGH = 256 * MIB  # of zeros in one file; in what storages hold beyond, some places
_PLACES = 64
_PLACE_NBYTES = 4096


def settle_skipped(archive: ZipArchive, pickle: str, folder: str, storages: dict[str, Storage]) -> tuple[Finding, ...]:
    """Mark the storages that have no data as absent, and return what there is to say of a CRC that is 0.

    Reads the bytes of storages whose CRC is 0, up to the first that is none.
    """
    is_unsummed = archive.members[pickle].crc == 0
    left = _LOOKED_THROUGH
    filled: list[str] = []
    empty: list[str] = []
    for key, storage in storages.items():
        member = archive.members.get(f"{folder}{key}")
        if member is None or storage.data is None or member.crc or not member.nbytes or member.method != STORED:
            continue
        try:
            has_data = _has_data(storage.data, left)
        except WeightliftError:
            continue  # whoever reads it is told
        if has_data and is_unsummed:  # no member has a CRC, and data were saved: zeros among them are values
            return ()
        (filled if has_data else empty).append(key)
        left -= 0 if has_data else min(left, storage.data.size)
    findings = []
    for key in empty:
        storages[key].absent = "skipped"
    if empty:
        message = f"{plural(len(empty), 'storage')} of zeros and no CRC: saved without data "
        message += (
            "(torch.serialization.skip_data), or zeros written without a CRC; nobody can tell, none is handed out"
        )
        findings.append(Finding("skipped-data", "warning", "", message))
    if filled:
        message = f"{plural(len(filled), 'storage')} of data and no CRC: filled in after saving without data "
        message += "(torch.serialization.skip_data), or written without a CRC; read as they stand"
        findings.append(Finding("no-crc", "warning", "", message))
    return tuple(findings)


def _has_data(source: Source, most: int) -> bool:
    """Whether any byte is not zero; of more than `most` bytes, some places are looked at."""
    if _differs(source.read_up_to(0, _PLACE_NBYTES)):
        return True
    if source.size <= most:
        return any(_differs(source.read_up_to(at, _CHUNK)) for at in range(0, source.size, _CHUNK))
    step = max(1, (source.size - _PLACE_NBYTES) // (_PLACES - 1))
    return any(_differs(source.read_up_to(number * step, _PLACE_NBYTES)) for number in range(_PLACES))


def _differs(data: bytes) -> bool:
    return data != bytes(len(data))
