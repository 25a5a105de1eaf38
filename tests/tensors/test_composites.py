"""Tensors made of tensors: quantised, sparse, nested and wrapped, against what torch loads."""

from __future__ import annotations

import io

import pytest
import torch
import torch.distributed as dist

import weightlift
from weightlift.errors import TensorError, UnsupportedError
from weightlift.formats import open_source
from weightlift.sources import Memory

from strategies import element_bytes, storage_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own prototypes

VALUES = torch.tensor([[0.0, 1.5, 0.0, -2.0], [3.0, 0.0, 0.0, 0.0], [0.0, 0.0, -0.5, 4.0], [1.0, 0.0, 0.0, 0.25]])


def per_channel(dtype, zero_points, shape=(4, 4), axis=0):
    values = torch.linspace(-1, 1, shape[0] * shape[1]).reshape(shape)
    return torch.quantize_per_channel(values, torch.rand(shape[axis]) + 0.1, zero_points[: shape[axis]], axis, dtype)


WHOLE, REAL = torch.zeros(9, dtype=torch.int64), torch.linspace(0, 1, 9)

QUANTISED = {
    **{
        f"{name} per tensor": lambda d=d: torch.quantize_per_tensor(VALUES, 0.05, 3, d)
        for name, d in (("qint8", torch.qint8), ("quint8", torch.quint8), ("qint32", torch.qint32))
    },
    **{
        f"{name} per channel": lambda d=d: per_channel(d, WHOLE, axis=1)
        for name, d in (("qint8", torch.qint8), ("quint8", torch.quint8), ("qint32", torch.qint32))
    },
    "quint8 per channel, real zero points": lambda: per_channel(torch.quint8, REAL),
    "quint4x2": lambda: per_channel(torch.quint4x2, REAL),
    "quint4x2 with odd rows": lambda: per_channel(torch.quint4x2, REAL, (3, 5)),
    "quint2x4 with rows that fill no byte": lambda: per_channel(torch.quint2x4, REAL, (4, 6)),
    "qint8 transposed": lambda: torch.quantize_per_tensor(VALUES, 0.05, 3, torch.qint8).t(),
    "qint8 sliced": lambda: torch.quantize_per_tensor(VALUES, 0.05, 3, torch.qint8)[1:, ::2],
}
SPARSE = {
    "coo": VALUES.to_sparse,
    "coo with dense rows": lambda: VALUES.to_sparse(1),
    "coo uncoalesced": lambda: torch.sparse_coo_tensor([[1, 1, 0]], [1.0, 2.0, 3.0], (4,), check_invariants=True),
    "coo of float16": lambda: VALUES.half().to_sparse(),
    "csr": VALUES.to_sparse_csr,
    "csr of int32 indices": lambda: torch.sparse_csr_tensor(
        torch.tensor([0, 1, 1], dtype=torch.int32), torch.tensor([2], dtype=torch.int32), torch.tensor([7.0]), (2, 4)
    ),
    "csc": VALUES.to_sparse_csc,
    "bsr": lambda: VALUES.to_sparse_bsr((2, 2)),
    "bsc": lambda: VALUES.to_sparse_bsc((2, 2)),
    "empty coo": lambda: torch.zeros(3, 4).to_sparse(),
    "a parameter": lambda: torch.nn.Parameter(VALUES.to_sparse()),
}
NESTED = {
    "strided": lambda: torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3), torch.randn(0, 3)]),
    "strided ragged twice": lambda: torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(1, 5)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)], layout=torch.jagged),
    "jagged transposed": lambda: torch.nested.nested_tensor(
        [torch.randn(2, 3), torch.randn(4, 3)], layout=torch.jagged
    ).transpose(1, 2),
    "jagged with holes": lambda: torch.nested.narrow(
        torch.randn(3, 6, 2), 1, torch.tensor([0, 1, 2]), torch.tensor([2, 3, 1]), layout=torch.jagged
    ),
}


def both_ways(original, folder):
    """Return (torch's own reading, ours, ours after extraction)."""
    path = folder / "x.pt"
    torch.save({"first": torch.zeros(2), "x": original, "last": torch.ones(1)}, path)
    truth = torch.load(path, weights_only=False)["x"]
    weightlift.extract(path, folder / "x.safetensors")
    read, back = (weightlift.open(folder / name).state_dict() for name in ("x.pt", "x.safetensors"))
    assert list(read) == list(back) == ["first", "x", "last"]
    return truth, read.to_torch()["x"], back.to_torch()["x"]


@pytest.mark.parametrize("kind", QUANTISED)
def test_quantised_tensors(kind, tmp_path):
    """The stored integers and the quantiser are torch's, at once and after extraction."""
    truth, *ours = both_ways(QUANTISED[kind](), tmp_path)
    for made in ours:
        assert (made.dtype, made.shape, made.qscheme()) == (truth.dtype, truth.shape, truth.qscheme())
        if "x" in str(truth.dtype):  # several elements to a byte
            assert storage_bytes(made).tobytes() == storage_bytes(truth).tobytes()
        else:
            assert element_bytes(made) == element_bytes(truth)
        if truth.qscheme() == torch.per_tensor_affine:
            assert (made.q_scale(), made.q_zero_point()) == (truth.q_scale(), truth.q_zero_point())
        else:
            assert made.q_per_channel_axis() == truth.q_per_channel_axis()
            assert torch.equal(made.q_per_channel_scales(), truth.q_per_channel_scales())
            assert torch.equal(made.q_per_channel_zero_points(), truth.q_per_channel_zero_points())
        assert torch.equal(made.dequantize(), truth.dequantize())


@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_tensors(kind, tmp_path):
    """Layout, indices, values and coalescedness are torch's, at once and after extraction."""
    truth, *ours = both_ways(SPARSE[kind](), tmp_path)
    for made in ours:
        assert (made.layout, made.dtype, made.shape) == (truth.layout, truth.dtype, truth.shape)
        assert torch.equal(made.to_dense(), truth.to_dense())
        if truth.layout is torch.sparse_coo:
            assert made.is_coalesced() == truth.is_coalesced()
            assert torch.equal(made._indices(), truth._indices())
            assert element_bytes(made._values()) == element_bytes(truth._values())
        else:
            first = "crow_indices" if truth.layout in (torch.sparse_csr, torch.sparse_bsr) else "ccol_indices"
            assert getattr(made, first)().dtype is getattr(truth, first)().dtype
            assert element_bytes(made.values()) == element_bytes(truth.values())


@pytest.mark.parametrize("kind", NESTED)
def test_nested_tensors(kind, tmp_path):
    """Each constituent is torch's, at once and after extraction."""
    truth, *ours = both_ways(NESTED[kind](), tmp_path)
    for made in ours:
        assert (made.is_nested, made.layout, made.dtype, made.dim()) == (True, truth.layout, truth.dtype, truth.dim())
        pairs = list(zip(made.unbind(), truth.unbind(), strict=True))
        assert pairs
        assert all(torch.equal(a, b) for a, b in pairs)


class Wrapper(torch.Tensor):
    """A tensor without data of its own: everything is in the tensors it wraps."""

    @staticmethod
    def __new__(cls, inner, scale):
        """A tensor of the shape of `inner` and the type of `scale`."""
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=scale.dtype)

    def __init__(self, inner, scale):
        self.inner, self.scale, self.block = inner, scale, 32

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """No operation is carried out."""
        return NotImplemented


def test_a_wrapper_subclass_is_its_parts(tmp_path):
    """A wrapper's tensors and plain attributes are read and extracted by name; torch needs the class."""
    inner, scale = torch.arange(6, dtype=torch.int8).reshape(2, 3), torch.tensor([0.5, 2.0])
    torch.save({"x": Wrapper(inner, scale)}, tmp_path / "x.pt")
    weightlift.extract(tmp_path / "x.pt", tmp_path / "x.safetensors")
    for name in ("x.pt", "x.safetensors"):
        lazy = weightlift.open(tmp_path / name).state_dict()["x"]
        assert (lazy.layout, lazy.dtype.name, lazy.shape) == ("wrapper", "float32", (2, 3))
        assert lazy.class_name.endswith(".Wrapper")
        assert lazy.attributes["block"] == 32
        assert torch.equal(lazy.parts["inner"].torch(), inner)
        assert torch.equal(lazy.parts["scale"].torch(), scale)
        with pytest.raises(UnsupportedError, match=r"needs its class; take \.parts: inner, scale"):
            lazy.torch()


def test_a_dtensor_is_the_part_of_its_rank(tmp_path):
    """A DTensor that one rank saved gives that rank's local tensor as a part."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        whole = torch.randn(4, 3)
        torch.save({"x": distribute_tensor(whole, init_device_mesh("cpu", (1,)), [Shard(0)])}, tmp_path / "x.pt")
    finally:
        dist.destroy_process_group()
    weightlift.extract(tmp_path / "x.pt", tmp_path / "x.safetensors")
    for name in ("x.pt", "x.safetensors"):
        lazy = weightlift.open(tmp_path / name).state_dict()["x"]
        assert lazy.class_name == "torch.distributed.tensor.DTensor"
        assert torch.equal(lazy.parts["_local_tensor"].torch(), whole)
        with pytest.raises(UnsupportedError, match=r"a DTensor shard; take \.parts"):
            lazy.torch()


def saved_and_opened(obj):
    file = io.BytesIO()
    torch.save(obj, file)
    return open_source(Memory(file.getvalue())).state_dict()


def test_sparse_indices_outside_the_tensor_are_refused():
    """Indices that torch's kernels would follow outside the tensor give our error, not a torch tensor."""
    wild = torch.sparse_coo_tensor([[0, 9]], [1.0, 2.0], (3,), check_invariants=False)
    with pytest.raises(TensorError, match="torch cannot make a sparse_coo tensor of its parts"):
        saved_and_opened({"x": wild})["x"].torch()
    broken = torch.sparse_csr_tensor([0, 1, 2], [0, 50], [1.0, 2.0], (2, 3), check_invariants=False)
    with pytest.raises(TensorError, match="torch cannot make a sparse_csr tensor of its parts"):
        saved_and_opened({"x": broken})["x"].torch()


def test_nested_sizes_outside_the_buffer_are_refused():
    """A nested tensor whose sizes reach past its buffer is refused."""
    lazy = saved_and_opened({"x": torch.nested.nested_tensor([torch.randn(2, 3)])})["x"]
    grown = saved_and_opened({"x": torch.tensor([[2, 4]])})["x"]
    object.__setattr__(lazy, "parts", {**lazy.parts, "sizes": grown})
    with pytest.raises(TensorError, match=r"a nested tensor of shape \[2, 4\] at 0; expected at most 6 elements"):
        lazy.torch()


def test_a_quantiser_of_another_length_is_refused():
    """Scales that are not one to a slice are refused: torch's constructor would read past them."""
    lazy = saved_and_opened({"x": per_channel(torch.qint8, WHOLE)})["x"]
    for axis in (7, -1):
        object.__setattr__(lazy, "attributes", {**lazy.attributes, "axis": axis})
        with pytest.raises(TensorError, match=f"4 scales and 4 zero points for axis {axis} of"):
            lazy.torch()
