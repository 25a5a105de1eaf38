"""Every element type and every view that torch can save, against torch's own reading of the same file."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import weightlift
from weightlift.dtypes import DTYPES as OUR_DTYPES
from weightlift.formats import open_source
from weightlift.sources import Memory
from weightlift.state_dict import StateDict
from weightlift.tensors import Storage, Tensor

from strategies import DTYPES, element_bytes, name_of, random_storage, tensors, view_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own prototypes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("views")


def saved(obj) -> bytes:
    file = io.BytesIO()
    torch.save(obj, file)
    return file.getvalue()


def read_back(state_dict, folder):
    """Extract a state dict and open what was written."""
    state_dict.save(folder / "out.safetensors")
    return weightlift.open(folder / "out.safetensors").state_dict()


@settings(max_examples=400, deadline=None)
@given(original=tensors())
def test_any_saved_view_is_what_torch_loads(folder, original):
    """dtype, shape, strides and values are torch's, as bytes, as numpy, as torch, and after extraction."""
    data = saved({"x": original})
    truth = torch.load(io.BytesIO(data), weights_only=False)["x"]
    wanted = element_bytes(truth)
    state_dict = open_source(Memory(data)).state_dict()
    lazy = state_dict["x"]
    assert (lazy.dtype.name, lazy.shape, lazy.stride, lazy.offset) == (
        name_of(truth.dtype), tuple(truth.shape), truth.stride(), truth.storage_offset() if lazy.numel else lazy.offset,
    )  # fmt: skip
    assert (lazy.numel, lazy.is_contiguous) == (truth.numel(), truth.is_contiguous())
    assert lazy.tobytes() == wanted
    if lazy.dtype.numpy:
        array = lazy.numpy()
        assert (array.shape, array.dtype.name, array.tobytes()) == (lazy.shape, lazy.dtype.numpy, wanted)
        assert array.flags.writeable
    made = lazy.torch()
    assert (made.dtype, made.shape, made.stride()) == (truth.dtype, truth.shape, truth.stride())
    assert (made.is_conj(), made.is_neg()) == (truth.is_conj(), truth.is_neg()) or not lazy.numel
    assert element_bytes(made) == wanted
    back = read_back(state_dict, folder)["x"]
    assert (back.dtype, back.shape, back.tobytes()) == (lazy.dtype, lazy.shape, wanted)
    again = back.torch()
    assert (again.dtype, again.shape, element_bytes(again)) == (truth.dtype, truth.shape, wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_each_type_is_in_the_table_with_its_width(dtype):
    """Each type that torch can save has torch's width, and numpy's values where numpy has the type."""
    ours = OUR_DTYPES[name_of(dtype)]
    assert ours.itemsize == torch.empty(0, dtype=dtype).element_size()
    original = view_of(random_storage(6 * ours.itemsize, 3, dtype), dtype, ((2, 3), (1, 2), 0))
    lazy = open_source(Memory(saved({"x": original}))).state_dict()["x"]
    if ours.numpy and (dtype.is_floating_point or dtype.is_complex):
        wide = torch.complex128 if dtype.is_complex else torch.float64
        np.testing.assert_array_equal(lazy.numpy().astype(name_of(wide)), original.to(wide).numpy())
    elif ours.numpy:
        np.testing.assert_array_equal(lazy.numpy(), original.numpy())


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1)], ids=str)
def test_empty_and_0d_tensors_of_each_type(dtype, shape, folder):
    """Tensors of no elements or of one survive saving, reading, extraction and reading again."""
    width = torch.empty(0, dtype=dtype).element_size()
    original = view_of(random_storage(2 * width, 5, dtype), dtype, (shape, (1,) * len(shape), 1))
    state_dict = open_source(Memory(saved({"x": original}))).state_dict()
    for lazy in (state_dict["x"], read_back(state_dict, folder)["x"]):
        made = lazy.torch()
        assert (made.dtype, tuple(made.shape), element_bytes(made)) == (dtype, shape, element_bytes(original))


def test_a_negated_integer_view_is_negated_in_value():
    """The neg bit on integers is two's complement, not a sign bit."""
    original = torch._neg_view(torch.tensor([5, -7, 0, -(2**63)]))
    lazy = open_source(Memory(saved({"x": original}))).state_dict()["x"]
    assert lazy.numpy().tolist() == [-5, 7, 0, -(2**63)]


def test_a_big_endian_storage_under_two_element_sizes():
    """Each view of a big-endian storage has its own values in torch, whatever other views there are."""
    storage = Storage("0", 8, Memory(bytes(range(8))), little_endian=False)
    views = {
        "wide": Tensor(OUR_DTYPES["int32"], (2,), (1,), 0, storage),
        "narrow": Tensor(OUR_DTYPES["int16"], (4,), (1,), 0, storage),
    }
    made = StateDict(views).to_torch()
    for key, view in views.items():
        assert made[key].tolist() == view.numpy().tolist()


@pytest.mark.parametrize("kind", [torch.nn.Parameter, torch.nn.Buffer])
def test_parameters_and_buffers_keep_role_and_attributes(kind):
    """A Parameter or Buffer with attributes of its own is read as that, its attributes beside it."""
    original = kind(torch.randn(3, 2).t())
    original.tag = {"frozen": True}
    lazy = open_source(Memory(saved({"x": original}))).state_dict()["x"]
    assert lazy.role == kind.__name__.lower()
    assert lazy.extra["tag"] == {"frozen": True}
    assert lazy.requires_grad is original.requires_grad
    assert lazy.torch().requires_grad is original.requires_grad
    assert torch.equal(lazy.torch(), original)


def test_an_attribute_called_cast_does_not_change_the_values():
    """Attributes that a file hangs on a tensor are data, whatever they are called."""
    original = torch.nn.Parameter(torch.randn(3))
    original.cast = "float16"
    made = open_source(Memory(saved({"x": original}))).state_dict()["x"].torch()
    assert made.dtype is torch.float32
    assert torch.equal(made, original)


class Marked(torch.Tensor):
    """A tensor subclass that weightlift has never heard of."""


def test_a_subclass_is_its_values_under_its_name():
    """A tensor subclass is read as a plain tensor that remembers the class."""
    original = torch.randn(4, 3)[:, 1:].as_subclass(Marked)
    original.note = 7
    lazy = open_source(Memory(saved({"x": original}))).state_dict()["x"]
    assert lazy.class_name.endswith(".Marked")
    assert lazy.extra["note"] == 7
    assert (lazy.stride, lazy.tobytes()) == (original.stride(), element_bytes(original.as_subclass(torch.Tensor)))


def test_meta_tensors_have_a_shape_and_no_data(folder):
    """A meta tensor is told with shape and strides, comes to torch as meta, and cannot be extracted."""
    state_dict = open_source(Memory(saved({"x": torch.empty(3, 4, device="meta").t()}))).state_dict()
    lazy = state_dict["x"]
    assert (lazy.shape, lazy.stride, lazy.absent) == ((4, 3), (1, 4), "meta")
    made = lazy.torch()
    assert (made.device.type, tuple(made.shape), made.stride()) == ("meta", (4, 3), (1, 4))
    with pytest.raises(weightlift.WeightliftError, match=r"'x': has no data \(meta\)"):
        state_dict.save(folder / "meta.safetensors")
    assert not (folder / "meta.safetensors").exists()
