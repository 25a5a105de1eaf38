"""Live tensors of every layout as lazies: what the reader makes of a saved file, and the same tensor again."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch.distributed.tensor import DTensor
from torch.testing._internal.two_tensor import TwoTensor

import weightlift
from weightlift.errors import TensorError, UnsupportedError
from weightlift.formats import open_source
from weightlift.pickles import Global
from weightlift.sources import Memory
from weightlift.state_dict import StateDict
from weightlift.tensors.from_live import LiveTensors

from .test_composites import NESTED, QUANTISED, SPARSE, VALUES
from strategies import element_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own prototypes

COMPOSITES = {**QUANTISED, **SPARSE, **NESTED}


def saved(value):
    file = io.BytesIO()
    torch.save({"x": value}, file)
    return open_source(Memory(file.getvalue())).state_dict()["x"]


def live(value, **options):
    return LiveTensors(**options).lazy("x", value)


def written(value, folder):
    StateDict.of({"x": value}).save(folder / "x.safetensors")
    return weightlift.open(folder / "x.safetensors").state_dict()["x"]


@pytest.mark.parametrize("kind", COMPOSITES)
def test_a_live_composite_is_what_the_reader_makes_of_a_saved_one(kind, tmp_path):
    """Layout, shape, attributes and the bytes of every part are those of the tensor's own file, written or not."""
    torch.manual_seed(0)
    value = COMPOSITES[kind]()
    wanted = saved(value)
    for made in (live(value), written(value, tmp_path)):
        assert (made.layout, made.dtype, made.shape) == (wanted.layout, wanted.dtype, wanted.shape)
        assert dict(made.attributes) == dict(wanted.attributes)
        assert list(made.parts) == [name for name in wanted.parts if name in made.parts]
        for name, part in made.parts.items():
            assert (part.dtype, part.shape) == (wanted.parts[name].dtype, wanted.parts[name].shape)
            assert part.tobytes() == wanted.parts[name].tobytes()
        again = made.torch()
        assert (again.layout, again.dtype, type(again)) == (value.layout, value.dtype, type(value.detach()))


def test_parts_are_the_live_memory():
    """Nothing is copied: what is written to a sparse tensor's values later is in the lazy tensor."""
    value = VALUES.to_sparse()
    made = live(value)
    value._values().fill_(9.0)
    assert set(made.parts["values"].numpy()) == {9.0}


def test_a_sparse_parameter_stays_one():
    """The role and the gradient flag are kept."""
    made = live(torch.nn.Parameter(VALUES.to_sparse()))
    assert (made.role, made.requires_grad) == ("parameter", True)
    assert made.torch().requires_grad


def test_ties_of_composites_are_written_once(tmp_path):
    """A quantised tensor under two names has its bytes in the file once."""
    value = torch.quantize_per_tensor(torch.randn(8, 8), 0.1, 0, torch.qint8)
    done = StateDict.of({"a": value, "b": value}).save(tmp_path / "x.safetensors")
    assert done.nbytes == 64
    back = weightlift.open(tmp_path / "x.safetensors").state_dict().to_torch()
    assert torch.equal(back["a"].int_repr(), value.int_repr())
    assert back["a"].data_ptr() == back["b"].data_ptr()


def test_a_wrapper_is_its_parts(tmp_path):
    """A tensor subclass that flattens is a wrapper with its parts by name; a wrapped wrapper's are `outer.inner`."""
    value = TwoTensor(TwoTensor(torch.ones(3), torch.zeros(3)), TwoTensor(torch.full((3,), 2.0), torch.ones(3)))
    for made in (live(value), written(value, tmp_path)):
        assert made.layout == "wrapper"
        assert made.class_name == "torch.testing._internal.two_tensor.TwoTensor"
        assert list(made.parts) == ["a.a", "a.b", "b.a", "b.b"]
        assert made.parts["b.a"].numpy().tolist() == [2.0] * 3
    with pytest.raises(UnsupportedError, match=r"TwoTensor tensor needs its class; take \.parts: a\.a, a\.b"):
        live(value).torch()


class Holder(torch.Tensor):
    """A wrapper that keeps more than its parts."""

    @staticmethod
    def __new__(cls, inner, context):
        """Return the wrapper of one tensor."""
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        made.inner, made.context = inner, context
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise NotImplementedError(str(func))

    def __tensor_flatten__(self):
        return ["inner"], self.context


HOLDER = f"{Holder.__module__}.Holder"


def test_what_a_wrapper_keeps_beside_its_parts_is_kept():
    """Plain data, dtypes and sizes of the flattened context are attributes."""
    context = {"dtype": torch.float16, "size": torch.Size([2, 3]), "scale": 0.5, "more": [None, "a", (1, b"b")]}
    made = live(Holder(torch.ones(2, 3), context), flatten=(HOLDER,))
    assert made.attributes["context"] == {
        "dtype": Global("torch", "float16"), "size": (2, 3), "scale": 0.5, "more": [None, "a", (1, b"b")],
    }  # fmt: skip


def test_a_sparse_tensor_in_a_wrapper():
    """The parts of a wrapped composite come with its layout and attributes."""
    made = live(Holder(VALUES.to_sparse(), None), flatten=(HOLDER,))
    assert list(made.parts) == ["inner.indices", "inner.values"]
    assert made.attributes["inner"] == {"layout": "sparse_coo", "class": "", "is_coalesced": True}


class Marked(torch.Tensor):
    """A subclass with ordinary memory."""


class Scale(torch.nn.Parameter):
    """A parameter of a class of its own."""


@pytest.mark.parametrize(
    ("value", "role", "class_name"),
    [
        (torch.ones(2), "tensor", ""),
        (torch.nn.Parameter(torch.ones(2)), "parameter", ""),
        (torch.nn.Buffer(torch.ones(2)), "buffer", ""),
        (torch.ones(2).as_subclass(Marked), "tensor", f"{Marked.__module__}.Marked"),
        (Scale(torch.ones(2)), "parameter", f"{Scale.__module__}.Scale"),
    ],
    ids=["tensor", "parameter", "buffer", "subclass", "parameter subclass"],
)
def test_roles_and_classes(value, role, class_name):
    """Parameters and buffers are told apart, and a class of its own is named."""
    made = live(value)
    assert (made.role, made.class_name, made.requires_grad) == (role, class_name, value.requires_grad)
    assert made.numpy().tolist() == [1.0, 1.0]


def test_a_tensor_of_onednn_is_taken_by_its_values():
    """The layout of oneDNN is the machine's own affair."""
    value = torch.arange(6.0).reshape(2, 3)
    assert element_bytes(live(value.to_mkldnn()).torch()) == element_bytes(value)


class Closed(Holder):
    """A wrapper that does not tell its parts."""

    __tensor_flatten__ = property()  # has none


def a_dtensor():
    made = torch.Tensor._make_wrapper_subclass(DTensor, (4,), dtype=torch.float32)
    made._local_tensor = torch.ones(2)
    return made


REFUSED = {
    "an uninitialised parameter": (
        lambda: live(torch.nn.LazyLinear(2).weight),
        r"^'x' has no shape yet; run the lazy module once first$",
    ),
    "an unknown wrapper": (
        lambda: live(Holder(torch.ones(2), None)),
        r"^'x' is a .*Holder, and nobody has said that its parts are all of it; give an ordinary tensor",
    ),
    "a wrapper with more": (
        lambda: live(Holder(torch.ones(2), object()), flatten=(HOLDER,)),
        r"^'x' keeps a object beside its parts; give an ordinary tensor of its values$",
    ),
    "a wrapper without parts": (
        lambda: live(Closed(torch.ones(2), None)),
        r"^'x' is a Closed on cpu without memory of its own \(.*\); give an ordinary tensor of its values$",
    ),
    "a DTensor": (
        lambda: live(a_dtensor()),
        r"^'x' is a DTensor, of which this process has a part; save it from every rank together$",
    ),
    "a masked array": (
        lambda: live(np.ma.masked_array([1, 2], mask=[True, False])),
        r"^'x' is a masked array; give its \.data and its \.mask$",
    ),
    "objects": (lambda: live(np.array([object()])), r"^'x' is an array of object; expected numbers or booleans$"),
    "anything else": (lambda: live([1]), r"^'x' is \[1\]; expected a torch tensor, an array or a lazy tensor$"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_taken_is_refused(kind):
    """Each refusal names the tensor, what it is, and what to give instead."""
    make, message = REFUSED[kind]
    with pytest.raises(UnsupportedError, match=message):
        make()


def test_tensors_without_values_are_refused_when_written(tmp_path):
    """A meta tensor can be described and not written."""
    described = StateDict.of({"x": torch.ones(2, device="meta")})
    assert described["x"].shape == (2,)
    with pytest.raises(TensorError, match=r"^'x': has no data \(meta\)"):
        described.save(tmp_path / "x.safetensors")
