"""What is odd about a file and stops nobody is told: bytes of nobody, names, sizes, a misleading extension."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

import weightlift as wl
from weightlift.containers import ZipArchive
from weightlift.errors import ChecksumError, ContainerError
from weightlift.faces.cli import main
from weightlift.sources import Memory

from builders import BENIGN, FOUR_FLOATS, pickled, safetensors, torch_legacy, torch_zip
from hand_made_zips import ROOT, Entry, torch_entries, zip_of


def told(tmp_path, data, name="m.pt"):
    """(code, severity, where, message) of what opening a file tells."""
    (tmp_path / name).write_bytes(data)
    return [(f.code, f.severity, f.where, f.message) for f in wl.open(tmp_path / name).own_findings]


def test_bytes_between_members(tmp_path):
    """Bytes between two members that belong to neither are told with their number and place."""
    at = len(zip_of(*torch_entries()).partition(f"{ROOT}byteorder".encode())[0]) - 30
    data = zip_of(*torch_entries(), gaps={1: b"x" * 4096})
    message = f"4,096 bytes at byte {at} belong to no member"
    assert told(tmp_path, data) == [("unreferenced-bytes", "warning", "", message)]


def test_zero_bytes_between_members(tmp_path):
    """Zero bytes between members are padding, which is a note."""
    ((code, severity, _, message),) = told(tmp_path, zip_of(*torch_entries(), gaps={4: bytes(300)}))
    assert (code, severity) == ("unreferenced-bytes", "note")
    assert message.startswith("300 zero bytes at byte")


def test_a_few_bytes_between_members(tmp_path):
    """Opening lets pass what padding could account for; `verify` looks at every local header and tells."""
    (tmp_path / "m.pt").write_bytes(zip_of(*torch_entries(), gaps={2: b"tiny"}))
    checkpoint = wl.open(tmp_path / "m.pt")
    assert checkpoint.own_findings == ()
    ((code, message),) = [(f.code, f.message) for f in checkpoint.verify()]
    assert code == "unreferenced-bytes"
    assert message.startswith("4 bytes at byte")


def test_bytes_before_the_directory_in_an_empty_zip():
    """Of an archive without members all bytes before the directory belong to nobody."""
    archive = ZipArchive(Memory(zip_of(gaps={0: b"x" * 10})))
    assert [f.message for f in archive.findings] == ["10 bytes at byte 0 belong to no member"]


def test_many_gaps_are_told_in_a_few_lines():
    """The first gaps are told one by one, the others together."""
    entries = [Entry(f"x/{i}", b"") for i in range(50)]
    archive = ZipArchive(Memory(zip_of(*entries, gaps=dict.fromkeys(range(1, 50), b"x" * 200))))
    assert len(archive.findings) == 9
    assert archive.findings[-1].message == "8,200 more bytes in 41 places belong to no member"


def test_comment(tmp_path):
    """A comment is told with its length."""
    assert told(tmp_path, zip_of(*torch_entries(), comment=b"hello")) == [
        ("zip-comment", "note", "", "a comment of 5 bytes at the end")
    ]


def test_bytes_behind_the_end():
    """Bytes behind the end record are refused."""
    with pytest.raises(ContainerError, match="4 bytes follow the zip's end record; expected it at the very end"):
        ZipArchive(Memory(torch_zip() + b"more"))


def test_bytes_behind_a_pickle(tmp_path):
    """Bytes behind the STOP of a pickle are told with their number and place."""
    assert told(tmp_path, torch_zip(BENIGN + b"more")) == [
        ("trailing-bytes", "warning", "data.pkl", f"4 bytes at byte {len(BENIGN)} follow the end of the pickle")
    ]


def test_bytes_behind_a_legacy_stream(tmp_path):
    """Bytes behind the last storage of a legacy file are told with their number and place."""
    data = torch_legacy()
    message = f"1 byte at byte {len(data)} follow the last storage"
    assert told(tmp_path, data + b"!") == [("trailing-bytes", "warning", "", message)]


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..\\x", "C:/x"])
def test_names_that_lead_outside(name, tmp_path):
    """A member that would be unpacked outside its folder is told by its name."""
    found = told(tmp_path, zip_of(*torch_entries(), Entry(name, b"")))
    assert ("outside-names", "warning", "", f"1 member would be unpacked elsewhere: {name!r}") in found


def test_names_that_file_systems_take_for_one(tmp_path):
    """Names that differ in how an accent is written are told."""
    flag = {"flags": 0x800}
    entries = [Entry(f"{ROOT}{name}", b"", local=flag, central=flag) for name in ("\u00e9", "e\u0301")]
    found = told(tmp_path, zip_of(*torch_entries(), *entries))
    assert [message for code, _, _, message in found if code == "colliding-names"] == [
        "names that file systems take for one: 'archive/\u00e9' and 'archive/e\u0301'"
    ]


def test_storage_longer_than_claimed(tmp_path):
    """A storage of more bytes than the pickle claims is told with both sizes."""
    message = "4 of its 20 bytes belong to no storage: the pickle claims 16"
    assert told(tmp_path, torch_zip(members={"data/0": FOUR_FLOATS + b"more"})) == [
        ("storage-size", "warning", "archive/data/0", message)
    ]


def test_storage_that_no_tensor_is_on(tmp_path):
    """A storage that the pickle does not name is told with its size."""
    found = told(tmp_path, torch_zip(members={"data/0": FOUR_FLOATS, "data/1": b"12345"}))
    message = "1 storage of 5 bytes that the pickle does not name: archive/data/1"
    assert found == [("unreferenced-storage", "warning", "", message)]


EXTENSIONS = {
    "m.safetensors": (torch_zip(), "warning", "ends with .safetensors, the content is torch-zip, which can carry code"),
    "m.npy": (pickled(b"}"), "warning", "ends with .npy, the content is pickle"),
    "m.PT": (safetensors(b"{}"), "note", "ends with .pt, the content is safetensors: torch.load does not read it"),
    "m.gguf": (safetensors(b"{}"), "note", "ends with .gguf, the content is safetensors"),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_misleading_extension(name, tmp_path):
    """A name that speaks of another format than the content is told, with the real one."""
    data, severity, message = EXTENSIONS[name]
    ((code, found, _, said),) = told(tmp_path, data, name)
    assert (code, found) == ("wrong-extension", severity)
    assert message in said


@pytest.mark.parametrize("name", ["m.pt", "m.bin", "m.pth.tar", "m", "m.model", "m.safetensors.pt"])
def test_usual_extensions(name, tmp_path):
    """What people call torch files is no finding."""
    assert told(tmp_path, torch_zip(), name) == []


def test_links_in_a_tar(tmp_path):
    """Links among the members of a tar are told with where they lead; they are never followed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("model.pt")
        info.size = len(torch_zip())
        archive.addfile(info, io.BytesIO(torch_zip()))
        link = tarfile.TarInfo("link.pt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    message = "1 member that is no plain file: 'link.pt' (a link to '/etc/passwd')"
    assert told(tmp_path, out.getvalue(), "m.tar") == [("special-members", "warning", "", message)]
    found = told(tmp_path, out.getvalue() + b"!", "m.tar")
    assert [(code, message.endswith("follow the end of the last member")) for code, *_, message in found] == [
        ("special-members", False), ("trailing-bytes", True)
    ]  # fmt: skip


def test_pickle_with_another_checksum(tmp_path):
    """A pickle whose bytes have another CRC than the zip says is refused, stored or compressed."""
    for method in (0, 8):
        wrong = {"crc": 0x12345678}
        entries = [Entry(f"{ROOT}data.pkl", BENIGN, method, local=wrong, central=wrong), *torch_entries()[1:]]
        (tmp_path / "m.pt").write_bytes(zip_of(*entries))
        with pytest.raises(ChecksumError, match=r"'archive/data.pkl' have the CRC [0-9a-f]{8}; expected 12345678"):
            wl.open(tmp_path / "m.pt")


def test_small_storage_with_another_checksum(tmp_path):
    """A small storage that is read whole is held against its CRC, however it is read."""
    wrong = {"crc": 0x12345678}
    (tmp_path / "m.pt").write_bytes(zip_of(*torch_entries(local=wrong, central=wrong)))
    tensor = wl.open(tmp_path / "m.pt").state_dict()["weight"]
    with pytest.raises(ChecksumError, match="'archive/data/0' have the CRC"):
        tensor.tobytes()
    with pytest.raises(ChecksumError, match="'archive/data/0' have the CRC"):
        tensor.numpy()


def test_json_says_both_readings(tmp_path, capsys):
    """The error as JSON has a code and the readings, one by one."""
    (tmp_path / "m.pt").write_bytes(zip_of(*torch_entries(), *torch_entries()[:1]))
    assert main(["inspect", str(tmp_path / "m.pt"), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["error"], document["code"]) == ("TwoReadingsError", "duplicate-name")
    assert [reading.split()[0] for reading in document["readings"]] == ["Python's", "readers"]
