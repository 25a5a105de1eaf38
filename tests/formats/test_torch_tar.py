"""The tar of torch.save before 0.1.9, written by hand after torch/serialization.py `legacy_load`."""

# ruff: noqa: D102 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import io
import pickle
import struct
import tarfile

import pytest
import torch

import weightlift

from .conformance import Conformance
from strategies import PLAIN_DTYPES, element_bytes, storage_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


class _Pickler(pickle.Pickler):
    """Tensors are persistent ids: their numbers in the `tensors` member."""

    numbers: dict[int, int]

    def persistent_id(self, obj):
        return str(self.numbers[id(obj)]) if isinstance(obj, torch.Tensor) else None


def old_tar(tensors, views=()):
    """The bytes of a tar of 2016 that holds a dict of tensors; `views` are (key, root, offset, size)."""
    by_identity = {id(t): t for t in tensors.values()}
    storages = {t.untyped_storage()._cdata: t for t in by_identity.values()}
    first, second, third = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pickle.dump(len(storages), first, 2)
    for key, tensor in storages.items():
        kind = getattr(torch, torch.storage._dtype_to_storage_type_map()[tensor.dtype])
        pickle.dump((key, "cpu", kind), first, 2)
        data = storage_bytes(tensor).tobytes()
        first.write(struct.pack("<q", len(data) // tensor.element_size()) + data)
    pickle.dump(list(views), first, 2)
    pickle.dump(len(by_identity), second, 2)
    numbers = {}
    for number, (identity, tensor) in enumerate(by_identity.items(), 1000):
        numbers[identity] = number
        pickle.dump((number, tensor.untyped_storage()._cdata, torch.FloatTensor), second, 2)
        second.write(struct.pack("<ii", tensor.dim(), 0))
        second.write(struct.pack(f"<{2 * tensor.dim() + 1}q", *tensor.shape, *tensor.stride(), tensor.storage_offset()))
    pickler = _Pickler(third, 2)
    pickler.numbers = numbers
    pickler.dump(tensors)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, member in (("storages", first), ("tensors", second), ("pickle", third)):
            info = tarfile.TarInfo(name)
            info.size = len(member.getvalue())
            tar.addfile(info, io.BytesIO(member.getvalue()))
    return out.getvalue()


class TestTar(Conformance):
    """Members `storages`, `tensors` and `pickle`."""

    name = "torch-tar"
    dtypes = PLAIN_DTYPES

    def write(self, path, tensors):
        path.write_bytes(old_tar(tensors))

    def needed(self, data):
        """A tar ends in zero blocks, the pickle before them in a dot."""
        return len(data.rstrip(b"\0"))


def test_shared_storages_are_shared_again(tmp_path):
    """Two tensors of one storage of the tar share memory in torch."""
    base = torch.arange(12, dtype=torch.float64)
    (tmp_path / "x").write_bytes(old_tar({"a": base, "b": base[3:].reshape(3, 3).t()}))
    truth = torch.load(tmp_path / "x", weights_only=False)
    made = weightlift.open(tmp_path / "x").state_dict().to_torch()
    assert torch.equal(made["b"], truth["b"])
    assert made["b"].data_ptr() - made["a"].data_ptr() == truth["b"].data_ptr() - truth["a"].data_ptr() == 24


def test_views_of_storages_lie_in_their_root(tmp_path):
    """A storage that is a view of another one is read there; torch reads the same elements."""
    base = torch.arange(6, dtype=torch.float32)
    root = base.untyped_storage()._cdata
    data = old_tar({"a": base}, views=[(4711, root, 2, 3)])
    (tmp_path / "x").write_bytes(data)
    assert torch.equal(torch.load(tmp_path / "x", weights_only=False)["a"], base)
    assert weightlift.open(tmp_path / "x").state_dict()["a"].tobytes() == element_bytes(base)
