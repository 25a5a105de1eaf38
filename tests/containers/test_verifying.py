"""`verify` reads every byte once and names what is wrong, and finds nothing in what ordinary programs write."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

import weightlift as wl
from weightlift.faces.cli import main

from builders import torch_legacy, torch_zip
from hand_made_zips import Entry, torch_entries, zip_of

TENSORS = {"a.weight": torch.arange(300_000, dtype=torch.float32), "b": torch.ones(3), "c": torch.zeros(0)}
TENSORS["tied"] = TENSORS["b"]


def torch_save(path):
    torch.save(TENSORS, path)


def torch_save_aligned(path):
    torch.utils.serialization.config.save.storage_alignment = 4096
    try:
        torch.save(TENSORS, path)
    finally:
        torch.utils.serialization.config.save.storage_alignment = 64


def torch_save_without_crc(path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(TENSORS, path)
    finally:
        torch.serialization.set_crc32_options(True)


def torch_save_legacy(path):
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)


def torch_jit(path):
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))), path)


def torch_export(path):
    torch.export.save(torch.export.export(torch.nn.Linear(2, 3), (torch.ones(1, 2),)), path)


def to_safetensors(path):
    safetensors.torch.save_file({"a": torch.ones(4)}, path)


def repacked(path, method=zipfile.ZIP_DEFLATED, stream=False):
    inner = io.BytesIO()
    torch.save(TENSORS, inner)
    with (
        zipfile.ZipFile(inner) as old,
        open(path, "wb") as file,
        zipfile.ZipFile(Unseekable(file) if stream else file, "w", method) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))


class Unseekable(io.RawIOBase):
    """A pipe: zipfile then writes data descriptors."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        """Pass on."""
        return self.file.write(data)

    def seekable(self):
        """No."""
        return False

    def writable(self):
        """Yes."""
        return True


def tar_of(path):
    torch.save(TENSORS, path.with_suffix(".pt"))
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_suffix(".pt"), "model/model.pt")
    path.with_suffix(".pt").unlink()


def zip_of_two(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.pt", torch_zip())
        archive.writestr("b.pt", torch_legacy())


def ours(path):
    to_safetensors(path.with_suffix(".old"))
    wl.extract(path.with_suffix(".old"), path)


WRITERS = {
    "torch.pt": torch_save,
    "aligned.pt": torch_save_aligned,
    "no-crc.pt": torch_save_without_crc,
    "legacy.pt": torch_save_legacy,
    "script.pt": torch_jit,
    "exported.pt2": torch_export,
    "x.safetensors": to_safetensors,
    "deflated.pt": repacked,
    "streamed.pt": lambda path: repacked(path, stream=True),
    "stored-stream.pt": lambda path: repacked(path, zipfile.ZIP_STORED, stream=True),
    "x.npz": lambda path: np.savez(path, a=np.ones(3), A=np.zeros(2)),
    "compressed.npz": lambda path: np.savez_compressed(path, a=np.ones(3), b=np.zeros(2)),
    "x.npy": lambda path: np.save(path, np.ones(3)),
    "x.tar": tar_of,
    "x.zip": zip_of_two,
    "ours.safetensors": ours,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_wrong_with_ordinary_files(name, tmp_path):
    """Files of torch, zipfile, numpy, tarfile and safetensors give no warning, opened or verified."""
    WRITERS[name](tmp_path / name)
    checkpoint = wl.open(tmp_path / name)
    assert [f for f in checkpoint.own_findings if f.severity not in ("info", "note")] == []
    assert [f for f in checkpoint.verify() if f.severity not in ("info", "note")] == []
    assert {f.code for f in (*checkpoint.own_findings, *checkpoint.verify())} <= {"constants", "no-checksums"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["torch.pt", "deflated.pt", "streamed.pt"])
def test_a_flipped_bit_is_found(name, tmp_path, capsys):
    """One wrong bit in a storage makes `inspect --verify` end with 1 and name the member and its tensors."""
    path = tmp_path / name
    WRITERS[name](path)
    with zipfile.ZipFile(path) as archive:
        info = next(each for each in archive.infolist() if each.filename.endswith("data/0"))
    data = bytearray(path.read_bytes())
    data[info.header_offset + 2000] ^= 1
    path.write_bytes(data)
    assert main(["inspect", str(path)]) == 0
    capsys.readouterr()
    assert main(["inspect", str(path), "--verify", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (finding,) = [each for each in document["findings"] if each["severity"] == "warning"]
    assert (finding["code"], finding["where"], document["verified"]) == ("checksum", info.filename, False)
    assert finding["message"].endswith("; holds 'a.weight'")


def test_verified_is_said(write, capsys):
    """Where nothing is wrong, `inspect --verify` says so and ends with 0."""
    assert main(["inspect", str(write(torch_zip())), "--verify"]) == 0
    assert "verified: every byte was read, and none is wrong" in capsys.readouterr().out
    assert main(["inspect", str(write(torch_zip()))]) == 0
    assert "verified:" not in capsys.readouterr().out


def test_every_tensor_of_a_member_is_named(tmp_path):
    """Tensors that share a storage are all named, up to a few."""
    whole = torch.arange(60.0)
    torch.save({f"w{i}": whole[i : i + 3] for i in range(7)}, tmp_path / "m.pt")
    data = bytearray((tmp_path / "m.pt").read_bytes())
    data[data.index(whole.numpy().tobytes()) + 9] ^= 1
    (tmp_path / "m.pt").write_bytes(data)
    (finding,) = wl.open(tmp_path / "m.pt").verify()
    assert finding.message.endswith("; holds 'w0', 'w1', 'w2', 'w3' and 3 more")


def test_bytes_behind_a_deflate_stream(write):
    """A compressed member with bytes behind the end of its stream is found."""
    entry = Entry("archive/data/0", b"1" * 16, method=8)
    more = {"packed": len(entry.packed) + 2}
    entry.local, entry.central = more, more
    entries = [*torch_entries()[:2], entry, *torch_entries()[3:]]
    data = zip_of(*entries, gaps={3: b"xy"})
    (finding,) = wl.open(write(data)).verify()
    assert (finding.where, finding.code) == ("archive/data/0", "checksum")
    assert "bytes follow the end of its deflate stream" in finding.message


def test_no_checksums_are_said(write):
    """Of a format without checksums `verify` says that nothing could be checked, which is no damage."""
    (finding,) = wl.open(write(torch_legacy())).verify()
    assert (finding.code, finding.severity) == ("no-checksums", "info")


def test_checkpoint_directories_use_their_hashes(tmp_path):
    """A directory of ours is held against its manifest."""
    wl.save(tmp_path / "step", model={"w": torch.ones(4)}, step=1)
    assert wl.open(tmp_path / "step").verify() == []
    (name,) = [each for each in (tmp_path / "step").iterdir() if each.suffix == ".safetensors"]
    data = bytearray(name.read_bytes())
    data[-1] ^= 1
    name.write_bytes(data)
    assert [f.code for f in wl.open(tmp_path / "step").verify()] == ["damaged"]


def test_progress_reaches_the_end(write):
    """Progress counts bytes of the file, never backwards and never beyond it."""
    seen = []
    checkpoint = wl.open(write(torch_zip()))
    checkpoint.verify(lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done <= total == checkpoint.source.size for done, total in seen)


def test_shards_are_verified(tmp_path):
    """Of an index every shard is verified, and named."""
    torch.save({"w": torch.arange(9.0)}, tmp_path / "m1.bin")
    data = bytearray((tmp_path / "m1.bin").read_bytes())
    data[data.index(torch.arange(9.0).numpy().tobytes())] ^= 1
    (tmp_path / "m1.bin").write_bytes(data)
    (tmp_path / "m.bin.index.json").write_text(json.dumps({"weight_map": {"w": "m1.bin"}}))
    (finding,) = wl.open(tmp_path / "m.bin.index.json").verify()
    assert finding.where == "m1.bin/m1/data/0"
