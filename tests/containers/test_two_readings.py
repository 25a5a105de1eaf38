"""A zip that two readers would read differently is refused, and the error says what each would read."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib

import pytest
import torch

import weightlift as wl
from weightlift.containers import ZipArchive
from weightlift.containers.zip_readings import readings
from weightlift.errors import ContainerError, TwoReadingsError
from weightlift.sources import Memory

from builders import BENIGN, FOUR_FLOATS, pickled, safetensors, torch_legacy, torch_zip
from hand_made_zips import ROOT, Entry, end_record, torch_entries, zip64_record, zip_of

OTHER = pickled(b"}X\1\0\0\0oK\1s")


def refused(data, code, *said):
    """Opening these bytes as an archive fails with this code, and with both readings in the message."""
    with pytest.raises(TwoReadingsError) as caught:
        ZipArchive(Memory(data))
    assert caught.value.code == code
    assert len(caught.value.readings) == 2
    assert all(reading in str(caught.value) for reading in caught.value.readings)
    for text in said:
        assert text in str(caught.value)


def pickle_of(data, tmp_path):
    """(what torch's reader, what Python's zipfile) gives for data.pkl; neither unpickles it."""
    path = tmp_path / "both.zip"
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        theirs = archive.read(f"{ROOT}data.pkl")
    return bytes(torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")), theirs


def seen(data):
    """Who -> the data.pkl that they would take."""
    return {who: archive.read(f"{ROOT}data.pkl") for who, archive in readings(Memory(data))}


def test_name_twice(tmp_path):
    """Two members of one name: zipfile takes the last, torch may take the first; both can be looked at."""
    data = zip_of(*torch_entries(), Entry(f"{ROOT}data.pkl", OTHER))
    refused(data, "duplicate-name", "two members are called 'archive/data.pkl'", "takes the last, the one at byte")
    assert seen(data) == {"torch": BENIGN, "Python's zipfile": OTHER}
    for _, archive in readings(Memory(data)):
        assert [archive.open_member(m).read_at(0, m.nbytes) for m in archive.entries].count(OTHER) == 1


def test_two_zips_in_a_row(tmp_path):
    """Of two zips in a row torch reads the first where offsets agree, zipfile the last: as these two really do."""
    first, last = zip_of(*torch_entries()), zip_of(*torch_entries(OTHER + bytes(len(BENIGN) - len(OTHER))))
    refused(first + last, "zip-joined", "torch looks for the directory at byte", "Python's zipfile looks for")
    found = seen(first + last)
    assert (found["torch"], found["Python's zipfile"]) == pickle_of(first + last, tmp_path)
    assert found["torch"] != found["Python's zipfile"]


def test_zip_in_the_comment_of_a_zip(tmp_path):
    """A zip that is the comment of another has two end records, both of which end the file."""
    inner = zip_of(*torch_entries(OTHER))
    data = zip_of(*torch_entries(), comment=inner)
    refused(data, "two-end-records", "the zip ends with 2 end records", "torch takes the one at byte")


def test_end_record_that_leads_nowhere():
    """An end record in a comment whose own comment is too long: some readers take it, some the one before."""
    data = zip_of(*torch_entries(), comment=end_record(1, 1, 1)[:-2] + b"\xff\xff")
    refused(data, "two-end-records", "readers that look for a comment that ends the file")


def test_appended_zip_with_offsets_of_its_own():
    """A zip behind another, with offsets that are right: streaming readers begin with the first."""
    first = zip_of(*torch_entries())
    data = first + zip_of(*torch_entries(OTHER), shift=len(first))
    refused(data, "unlisted-member", f"{len(first)} bytes at byte 0 belong to no member", "see 'archive/data.pkl'")


def zip64(locator_names_first: bool) -> bytes:
    """A zip with two directories and two zip64 end records before one locator."""
    parts, records = b"", []
    for pickle in (BENIGN, OTHER):
        made = zip_of(*torch_entries(pickle), shift=len(parts))
        body = made[: -len(end_record(0, 0, 0))]
        at = body.index(b"PK\1\2")
        record = zip64_record(4, len(body) - at, len(parts) + at)
        parts += body + record
        records.append(len(parts) - len(record))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, records[0 if locator_names_first else 1], 1)
    full = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return parts + locator + full


def test_two_zip64_records(tmp_path):
    """torch takes the zip64 record that the locator names, zipfile the one before the locator: as they really do."""
    data = zip64(locator_names_first=True)
    refused(data, "zip64-records", "does not name the record before it")
    found = seen(data)
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    assert found["torch"] == bytes(torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")) == BENIGN
    assert found["Python's zipfile"] == OTHER


def test_more_members_than_counted(tmp_path):
    """A directory of more members than its end record counts: zipfile reads on, torch does not."""
    data = zip_of(*torch_entries(), Entry(f"{ROOT}hidden.pkl", OTHER), count=4)
    refused(data, "directory-count", "torch takes 4 members", "Python's zipfile takes those that follow as well")
    whole = dict(readings(Memory(data)))
    assert f"{ROOT}hidden.pkl" in whole["Python's zipfile"]
    assert f"{ROOT}hidden.pkl" not in whole["torch"]


def test_fewer_members_than_counted():
    """A directory that ends before its members do breaks off."""
    with pytest.raises(ContainerError, match="breaks off after 4 members; expected 5"):
        ZipArchive(Memory(zip_of(*torch_entries(), count=5)))


def test_aliased_members():
    """Two names for the same bytes are refused."""
    data = zip_of(*torch_entries(), Entry(f"{ROOT}data/1", FOUR_FLOATS, at=0))
    refused(data, "aliased-members", "'archive/data.pkl' and 'archive/data/1' begin at one byte")


def test_overlapping_members():
    """A member that begins inside another is refused, in whatever order the directory lists them."""
    for entries in ([*torch_entries(), Entry("x", b"12", at=5)], [Entry("x", b"12", at=5), *torch_entries()]):
        refused(zip_of(*entries), "overlapping-members", "'archive/data.pkl' and 'x' share bytes")


def test_nul_in_a_name():
    """A name with a NUL in it is one name for one reader and a shorter one for another."""
    data = zip_of(*torch_entries(), Entry(b"archive/data.pkl\0x", OTHER))
    refused(data, "nul-in-name", r"'archive/data.pkl\x00x'", "take it for 'archive/data.pkl'")
    assert seen(data)["Python's zipfile"] == OTHER


def test_other_name_in_a_unicode_path():
    """A Unicode path field that gives a member another name is refused; one that repeats the name is not."""
    for other, fails in ((b"archive/data.pkl", True), (b"archive/up", False)):
        field = struct.pack("<BI", 1, zlib.crc32(b"archive/up")) + other
        data = zip_of(Entry("archive/up", OTHER, extra=struct.pack("<HH", 0x7075, len(field)) + field))
        if fails:
            refused(data, "unicode-path", "'archive/up' and 'archive/data.pkl'")
        else:
            assert ZipArchive(Memory(data)).names() == ["archive/up"]


@pytest.mark.parametrize(
    ("local", "message"),
    [
        ({"name": b"archive/data/9"}, "is called 'archive/data/9' in its local header"),
        ({"method": 8}, "is compressed by method 8 in its local header and 0 in the directory"),
        ({"nbytes": 9999}, "has 9999 bytes in its local header and 16 bytes in the directory"),
        ({"packed": 9999}, "has 9999 bytes in its local header and 16 bytes in the directory"),
        ({"crc": 7}, "has the CRC 00000007 in its local header and"),
        ({"flags": 0x800}, "has the flags 0x0800 in its local header and 0x0000 in the directory"),
    ],
    ids=["name", "method", "nbytes", "packed", "crc", "flags"],
)
def test_local_header_that_contradicts(local, message, tmp_path):
    """Each field of a local header is held against the directory when the member is read, and by `verify`."""
    (tmp_path / "m.pt").write_bytes(zip_of(*torch_entries(local=local)))
    checkpoint = wl.open(tmp_path / "m.pt")
    with pytest.raises(TwoReadingsError, match="readers by local headers") as caught:
        checkpoint.state_dict()["weight"].tobytes()
    assert caught.value.code == "local-header"
    assert message in str(caught.value)
    assert any(f.code == "local-header" and message in f.message for f in checkpoint.verify())


def test_descriptor_that_contradicts(tmp_path):
    """A data descriptor that says something else than the directory is found by `verify`."""
    wrong = b"PK\7\10" + struct.pack("<III", 1, 2, 3)
    for descriptor, codes in ((None, []), (wrong, ["data-descriptor", "unreferenced-bytes"])):
        (tmp_path / "m.pt").write_bytes(zip_of(*torch_entries(deferred=True, descriptor=descriptor)))
        assert [f.code for f in wl.open(tmp_path / "m.pt").verify()] == codes


def test_names_that_differ_in_case(tmp_path):
    """torch looks names up without regard to case, so that two such names are two readings."""
    (tmp_path / "m.pt").write_bytes(zip_of(Entry(f"{ROOT}DATA.PKL", OTHER), *torch_entries()))
    with pytest.raises(TwoReadingsError, match=r"may take 'archive/DATA.PKL' at byte 0 for either") as caught:
        wl.open(tmp_path / "m.pt")
    assert caught.value.code == "case-collision"


def test_several_roots(tmp_path):
    """Two folders with a data.pkl each: torch goes by the first member, others search."""
    (tmp_path / "m.pt").write_bytes(zip_of(*torch_entries(), Entry("evil/data.pkl", OTHER)))
    with pytest.raises(TwoReadingsError, match=r"torch takes 'archive/data.pkl', in the folder of the first member"):
        wl.open(tmp_path / "m.pt")


POLYGLOTS = {
    "pickle": (OTHER, b"", "pickle"),
    "pickle and a byte": (OTHER, b"!", "pickle"),
    "legacy": (torch_legacy(), b"", "torch-legacy"),
    "legacy and a byte": (torch_legacy(), b"!", "torch-legacy"),
    "script": (b"#!/bin/sh\nexit\n", b"", "no known kind of file"),
    "html": (b"<html></html>", b"", "no known kind of file"),
}


@pytest.mark.parametrize("name", POLYGLOTS)
def test_zip_behind_something_else(name, tmp_path):
    """A file that begins as one thing and ends as a zip is both, and is refused as both."""
    before, after, what = POLYGLOTS[name]
    (tmp_path / "m.bin").write_bytes(before + torch_zip() + after)
    with pytest.raises(TwoReadingsError, match=r"take 4 members, the first 'archive/data.pkl'") as caught:
        wl.open(tmp_path / "m.bin")
    assert caught.value.code == "two-kinds"
    assert f"begins as {what} and ends as a zip" in str(caught.value)


def test_zip_in_the_last_tensor(tmp_path):
    """A safetensors file whose last tensor is a zip is a zip for whoever looks at the end."""
    data = torch_zip()
    header = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(data), len(data))
    (tmp_path / "m.safetensors").write_bytes(safetensors(header, data))
    with pytest.raises(TwoReadingsError, match="begins as safetensors and ends as a zip"):
        wl.open(tmp_path / "m.safetensors")


def test_zip_that_begins_as_a_tar(tmp_path):
    """A zip whose first local header is the beginning of a tar header is both."""
    name = b"archive/data.pkl"
    room = 512 - 30 - len(name)
    block = bytearray(512)
    crc, size = zlib.crc32(BENIGN), len(BENIGN)
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, crc, size, size, len(name), room) + name
    block[: len(local)] = local
    block[124:136], block[148:156], block[257:265] = b"%011o " % size, b" " * 8, b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    body = bytes(block) + BENIGN + bytes(-size % 512)
    entry = Entry("archive/data.pkl", BENIGN, at=0)
    (tmp_path / "m.pt").write_bytes(zip_of(entry, gaps={1: body}))
    with tarfile.open(tmp_path / "m.pt") as archive:
        assert len(archive.getmembers()) == 1
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        assert archive.read("archive/data.pkl") == BENIGN
    with pytest.raises(TwoReadingsError, match=r"a zip that begins as a tar: readers of zips .torch. take 1 member"):
        wl.open(tmp_path / "m.pt")


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE])
def test_name_twice_in_a_tar(kind, tmp_path):
    """Of two tar members of one name, a file or a link, unpacking gives the last; refused, with both places."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for i in (0, 1):
            info = tarfile.TarInfo("model.pt")
            info.size = 4 if kind == tarfile.REGTYPE or not i else 0
            info.type, info.linkname = (kind, "x") if i else (tarfile.REGTYPE, "")
            archive.addfile(info, io.BytesIO(b"data"))
    (tmp_path / "m.tar").write_bytes(out.getvalue())
    with pytest.raises(TwoReadingsError, match=r"the last, whose header is at byte 1024; .* the one at byte 0"):
        wl.open(tmp_path / "m.tar")


def test_ordinary_zip_has_one_reading():
    """Of a file without tricks torch and zipfile see the same members."""
    found = readings(Memory(torch_zip()))
    assert [who for who, _ in found] == ["torch", "Python's zipfile"]
    assert found[0][1].members == found[1][1].members == ZipArchive(Memory(torch_zip())).members
