"""The zip of torch.save, in every way that torch can be told to write it."""

# ruff: noqa: D102 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict

import pytest
import torch
from torch.serialization import set_crc32_options
from torch.utils.serialization import config

import weightlift
from weightlift.errors import TensorError

from .conformance import Conformance
from strategies import PLAIN_DTYPES, element_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own prototypes


def repacked(data, *, method=zipfile.ZIP_STORED, change=lambda name, content: (name, content)):
    """The same archive written by zipfile, its members changed on the way."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", method) as new:
        for name in old.namelist():
            new.writestr(*change(name, old.read(name)))
    return out.getvalue()


def saved(obj, **options):
    file = io.BytesIO()
    torch.save(obj, file, **options)
    return file.getvalue()


class TestSavedToAPath(Conformance):
    """torch.save(obj, "model"): the prefix is the name of the file."""

    name = "torch-zip"

    def write(self, path, tensors):
        torch.save(tensors, str(path))


class TestSavedToABuffer(Conformance):
    """torch.save(obj, buffer): the prefix is `archive`."""

    name = "torch-zip"

    def write(self, path, tensors):
        path.write_bytes(saved(tensors))


class TestOtherAlignment(Conformance):
    """Storages at multiples of 4096 bytes."""

    name = "torch-zip"

    def write(self, path, tensors):
        before = config.save.storage_alignment
        config.save.storage_alignment = 4096
        try:
            torch.save(tensors, str(path))
        finally:
            config.save.storage_alignment = before


class TestWithoutChecksums(Conformance):
    """Members written without a CRC of their content."""

    name = "torch-zip"

    def write(self, path, tensors):
        set_crc32_options(False)
        try:
            torch.save(tensors, str(path))
        finally:
            set_crc32_options(True)


class TestCompressed(Conformance):
    """An archive that somebody unpacked and packed again, compressed."""

    name = "torch-zip"

    def write(self, path, tensors):
        path.write_bytes(repacked(saved(tensors), method=zipfile.ZIP_DEFLATED))


class TestPrefixOfSeveralFolders(Conformance):
    """An archive whose members lie two folders deep, or in none: torch needs one, this reader does not."""

    name = "torch-zip"

    def write(self, path, tensors):
        whole = saved(tensors)
        path.write_bytes(repacked(whole, change=lambda n, c: (n.replace("archive/", "a b/ü/"), c)))
        path.with_suffix(".whole").write_bytes(whole)

    def truth(self, path):
        return torch.load(path.with_suffix(".whole"))


class TestBigEndian(Conformance):
    """A file written on a big-endian machine; torch swaps by the storage's class, so the plain types."""

    name = "torch-zip"
    dtypes = PLAIN_DTYPES

    def write(self, path, tensors):
        widths = {}
        for tensor in tensors.values():
            half = 2 if tensor.dtype.is_complex else 1
            widths.setdefault(tensor.untyped_storage()._cdata, tensor.element_size() // half)
        by_key = dict(enumerate(widths.values()))

        def swap(name, content):
            _, _, last = name.rpartition("/")
            if last == "byteorder":
                return name, b"big"
            if "/data/" in name:
                width = by_key[int(last)]
                return name, b"".join(content[i : i + width][::-1] for i in range(0, len(content), width))
            return name, content

        path.write_bytes(repacked(saved(tensors), change=swap))

    def test_torch_tensors_of_a_big_endian_file(self, path):
        """The torch tensors of a big-endian file have torch's values and share what they shared."""
        made, truth = weightlift.open(path).state_dict().to_torch(), self.truth(path)
        assert all(element_bytes(made[key]) == element_bytes(truth[key]) for key in truth)
        assert made["zebra"].data_ptr() == made["a.tie"].data_ptr()


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_pickle_protocol_that_torch_can_write(protocol, tmp_path):
    """Files of pickle protocols 1 to 5 give the same tensors."""
    weight = torch.randn(3, 4)
    (tmp_path / "x.pt").write_bytes(saved({"w": weight, "t": weight.t()}, pickle_protocol=protocol))
    checkpoint = weightlift.open(tmp_path / "x.pt")
    made = checkpoint.state_dict().to_torch()
    assert torch.equal(made["w"], weight)
    assert made["t"].data_ptr() == made["w"].data_ptr()


def test_a_storage_of_no_whole_number_of_elements(tmp_path):
    """A storage of 11 bytes of float32, which torch.load refuses, gives the two elements that were viewed."""
    storage = torch.frombuffer(bytearray(range(11)), dtype=torch.uint8).untyped_storage()
    odd = torch.empty(0, dtype=torch.float32).set_(storage, 0, (2,), (1,))
    torch.save({"x": odd}, tmp_path / "x.pt")
    with pytest.raises(RuntimeError, match="does not match expected size"):
        torch.load(tmp_path / "x.pt")
    assert weightlift.open(tmp_path / "x.pt").state_dict()["x"].tobytes() == bytes(range(8))


def test_a_file_saved_without_its_data_says_so(tmp_path):
    """skip_data leaves shapes and no values: told as a finding, and extraction leaves nothing."""
    with torch.serialization.skip_data():
        torch.save({"w": torch.randn(5, 2)}, tmp_path / "x.pt")
    checkpoint = weightlift.open(tmp_path / "x.pt")
    lazy = checkpoint.state_dict()["w"]
    assert (lazy.shape, lazy.absent) == ((5, 2), "skipped")
    assert [f.code for f in checkpoint.findings] == ["skipped-data"]
    with pytest.raises(TensorError, match=r"'w': has no data \(skipped\)"):
        weightlift.extract(tmp_path / "x.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_without_a_crc_are_told_from_data_that_were_skipped(tmp_path):
    """Where CRC 0 stands over bytes, these are read; where it stands over zeros only, no zeros are handed out."""
    state = {"w": torch.arange(4.0), "z": torch.zeros(4)}
    had = torch.serialization.get_crc32_options()
    set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "plain.pt")
        torch.save({"z": torch.zeros(4)}, tmp_path / "zeros.pt")
    finally:
        set_crc32_options(had)
    plain = weightlift.open(tmp_path / "plain.pt")
    assert {key: each.numpy().tolist() for key, each in plain.state_dict().items()} == {
        "w": [0.0, 1.0, 2.0, 3.0],
        "z": [0.0] * 4,
    }
    assert not plain.findings
    zeros = weightlift.open(tmp_path / "zeros.pt")
    assert zeros.state_dict()["z"].absent == "skipped"
    assert "or zeros written without a CRC" in zeros.findings[0].message


def test_data_filled_in_after_saving_without_are_read(tmp_path):
    """A file saved with skip_data and filled in afterwards gives what was filled in, and says that it has no CRC."""
    with torch.serialization.skip_data():
        torch.save({"w": torch.arange(4.0), "z": torch.zeros(4)}, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        (member,) = [each for each in archive.infolist() if each.filename.endswith("data/0")]
    data = bytearray((tmp_path / "x.pt").read_bytes())
    names, extra = struct.unpack_from("<2H", data, member.header_offset + 26)
    struct.pack_into("<4f", data, member.header_offset + 30 + names + extra, 0, 1, 2, 3)
    (tmp_path / "x.pt").write_bytes(data)
    opened = weightlift.open(tmp_path / "x.pt")
    found = opened.state_dict()
    assert found["w"].numpy().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert found["z"].absent == "skipped"
    assert [finding.code for finding in opened.findings] == ["skipped-data", "no-crc"]


class _Rebuilt:
    """Pickles as the call that torch rebuilds a tensor by."""

    def __init__(self, storage, numel):
        self.arguments = (storage, 0, (numel,), (1,), False, OrderedDict())

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


class _Stored:
    """Pickles as a storage's persistent id."""

    def __init__(self, key, numel):
        self.id = ("storage", torch.FloatStorage, key, "cpu", numel)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.id if isinstance(obj, _Stored) else None


def sparse_zip(path, members):
    """Write a stored zip64 archive of (name, size, content at the end); the rest are holes in the file."""
    directory = b""
    with open(path, "wb") as file:
        for name, nbytes, content in members:
            at, raw = file.tell(), f"big/{name}".encode()
            crc = zlib.crc32(content)
            extra = struct.pack("<HHQQ", 1, 16, nbytes, nbytes)
            file.write(struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, 0, 0, 0, 0, crc, 2**32 - 1, 2**32 - 1, len(raw), 20))
            file.write(raw + extra)
            file.seek(nbytes - len(content), 1)
            file.write(content)
            extra = struct.pack("<HHQQQ", 1, 24, nbytes, nbytes, at)
            head = (b"PK\1\2", 45, 45, 0, 0, 0, 0, crc, 2**32 - 1, 2**32 - 1, len(raw), 28, 0, 0, 0, 0, 2**32 - 1)
            directory += struct.pack("<4s6H3I5H2I", *head) + raw + extra
        at, count = file.tell(), len(members)
        file.write(directory)
        end = file.tell()
        file.write(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), at))
        file.write(struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), 2**32 - 1, 0))


def test_an_archive_of_more_than_4_gib(tmp_path):
    """Sizes and offsets beyond 32 bits are followed, in a file with holes instead of 5 GiB of zeros."""
    numel = (5 << 30) // 4
    data = io.BytesIO()
    _Pickler(data, 2).dump({"big": _Rebuilt(_Stored("0", numel), numel), "after": _Rebuilt(_Stored("1", 3), 3)})
    tail, after = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([5.0, 6.0, 7.0])
    content = data.getvalue()
    sparse_zip(
        tmp_path / "big.pt",
        [
            ("data.pkl", len(content), content),
            ("version", 2, b"3\n"),
            ("data/0", numel * 4, element_bytes(tail)),
            ("data/1", 12, element_bytes(after)),
        ],
    )
    truth = torch.load(tmp_path / "big.pt", mmap=True)
    state_dict = weightlift.open(tmp_path / "big.pt").state_dict()
    state_dict.check()
    big = state_dict["big"]
    assert (big.nbytes, big.shape) == (5 << 30, tuple(truth["big"].shape))
    assert big.storage.source().read_at(big.nbytes - 16, 16) == element_bytes(truth["big"][-4:]) == element_bytes(tail)
    assert state_dict["after"].tobytes() == element_bytes(truth["after"]) == element_bytes(after)


def test_members_that_torch_does_not_write_are_told(tmp_path):
    """Something appended to a torch file is a warning, not silence."""
    torch.save({"w": torch.zeros(2)}, tmp_path / "x.pt")
    assert not weightlift.open(tmp_path / "x.pt").findings
    with zipfile.ZipFile(tmp_path / "x.pt", "a") as archive:
        archive.writestr("x/run_me.py", "print()")
    (finding,) = weightlift.open(tmp_path / "x.pt").findings
    assert (finding.code, finding.message) == ("extra-members", "1 member that torch does not write: x/run_me.py")
