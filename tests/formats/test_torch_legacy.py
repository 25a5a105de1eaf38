"""The stream of torch.save before 1.6, as today's torch still writes it, and by hand what it no longer writes."""

# ruff: noqa: D102, RUF012 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict

import pytest
import torch

import weightlift
from weightlift.formats import torch_legacy

from .conformance import Conformance, module_of
from strategies import NEW_DTYPES, PLAIN_DTYPES, element_bytes, random_storage, view_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::torch.serialization.SourceChangeWarning")


class TestStream(Conformance):
    """torch.save(..., _use_new_zipfile_serialization=False)."""

    name = "torch-legacy"
    dtypes = PLAIN_DTYPES  # torch writes the others and cannot read them back: see the next test
    protocol = 2

    def write(self, path, tensors):
        torch.save(tensors, path, _use_new_zipfile_serialization=False, pickle_protocol=self.protocol)


class TestStreamOfProtocol5(TestStream):
    """The same in the newest pickle protocol."""

    protocol = 5


class TestStreamOfAModule(Conformance):
    """A whole module: its class comes as a ('module', class, file, source) id."""

    name = "torch-legacy"
    dtypes = [torch.float32, torch.int64, torch.bfloat16]

    def write(self, path, tensors):
        torch.save(module_of(tensors), path, _use_new_zipfile_serialization=False)

    def truth(self, path):
        return torch.load(path, weights_only=False).state_dict()

    def test_the_embedded_source_is_counted_and_not_read_as_code(self, path):
        """The ids of embedded sources are told in the details."""
        assert weightlift.open(path).details["embedded_sources"] == 1


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_pickle_protocol_that_torch_can_write(protocol, tmp_path):
    """Streams of pickle protocols 1 to 5 give the same tensors."""
    torch.save({"w": torch.arange(4)}, tmp_path / "x", _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    checkpoint = weightlift.open(tmp_path / "x")
    assert checkpoint.format == "torch-legacy"
    assert checkpoint.state_dict()["w"].numpy().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", NEW_DTYPES, ids=str)
def test_types_that_torch_writes_to_a_stream_and_cannot_read_back(dtype, tmp_path):
    """float8, uint16 and their like in a legacy stream, which torch.load fails on, give what was saved."""
    width = torch.empty(0, dtype=dtype).element_size()
    values = view_of(random_storage(12 * width, 1), dtype, ((3, 2), (1, 3), 2))
    torch.save({"x": values}, tmp_path / "x", _use_new_zipfile_serialization=False)
    with pytest.raises(AttributeError):
        torch.load(tmp_path / "x", weights_only=False)
    made = weightlift.open(tmp_path / "x").state_dict()["x"].torch()
    assert (made.dtype, made.stride(), element_bytes(made)) == (dtype, values.stride(), element_bytes(values))


class _Tensor:
    """Pickles as the call that torch 0.4 rebuilt a tensor by."""

    def __init__(self, storage, offset, shape, stride):
        self.arguments = (storage, offset, shape, stride, False, OrderedDict())

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


class _Storage:
    """Pickles as a persistent id, of a storage or of a view of one."""

    def __init__(self, *identifier):
        self.id = ("storage", *identifier)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.id if isinstance(obj, _Storage) else None


def stream(obj, storages, *, little_endian=True):
    """A legacy stream by hand: `storages` is key -> (number of elements, bytes)."""
    out = io.BytesIO()
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {}}
    for head in (torch_legacy.MAGIC, 1001, system):
        pickle.dump(head, out, 2)
    _Pickler(out, 2).dump(obj)
    pickle.dump(sorted(storages), out, 2)
    for key in sorted(storages):
        numel, data = storages[key]
        out.write(struct.pack("<q" if little_endian else ">q", numel) + data)
    return out.getvalue()


def test_storage_views_are_views_of_one_storage(tmp_path):
    """A view of a storage, which torch wrote until 0.4, is read where it lies and stays shared."""
    data = torch.arange(10, dtype=torch.float32)
    whole = _Storage(torch.FloatStorage, "7", "cpu", 10, None)
    part = _Storage(torch.FloatStorage, "7", "cpu", 10, ("8", 4, 5))
    obj = {"all": _Tensor(whole, 0, (10,), (1,)), "part": _Tensor(part, 1, (2, 2), (2, 1))}
    path = tmp_path / "views.pt"
    path.write_bytes(stream(obj, {"7": (10, element_bytes(data))}))
    truth = torch.load(path)
    state_dict = weightlift.open(path).state_dict()
    made = state_dict.to_torch()
    assert state_dict["part"].numpy().tolist() == truth["part"].tolist() == [[5.0, 6.0], [7.0, 8.0]]
    assert made["part"].data_ptr() - made["all"].data_ptr() == truth["part"].data_ptr() - truth["all"].data_ptr() == 20


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=str)
def test_a_stream_of_a_big_endian_machine(dtype, tmp_path):
    """Element counts and elements in the order of a big-endian machine come out right."""
    values = torch.arange(6).to(dtype)
    width = values.element_size() // (2 if dtype.is_complex else 1)
    raw = element_bytes(values)
    swapped = b"".join(raw[i : i + width][::-1] for i in range(0, len(raw), width))
    kind = getattr(torch, torch.storage._dtype_to_storage_type_map()[dtype])
    obj = {"x": _Tensor(_Storage(kind, "1", "cpu", 6, None), 0, (2, 3), (1, 2))}
    path = tmp_path / "big.pt"
    path.write_bytes(stream(obj, {"1": (6, swapped)}, little_endian=False))
    lazy = weightlift.open(path).state_dict()["x"]
    expected = values.reshape(3, 2).t()
    assert lazy.tobytes() == element_bytes(expected)
    assert torch.equal(lazy.torch(), expected)


def test_a_storage_of_another_size_than_its_id_is_an_error(tmp_path):
    """A stream whose element count contradicts the pickle is refused with both numbers."""
    obj = {"x": _Tensor(_Storage(torch.FloatStorage, "1", "cpu", 4, None), 0, (4,), (1,))}
    (tmp_path / "x").write_bytes(stream(obj, {"1": (3, bytes(12))}))
    with pytest.raises(weightlift.WeightliftError, match=r"storage '1' has 12 bytes at byte .*; expected 16"):
        weightlift.open(tmp_path / "x")
