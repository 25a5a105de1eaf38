"""npy and npz files of numpy itself."""

# ruff: noqa: D102 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

import weightlift
from weightlift.errors import UnsupportedError

from .conformance import Conformance
from strategies import element_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

HELD = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32]
HELD += [torch.uint64, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128]


class TestNpz(Conformance):
    """np.savez: a stored zip of arrays."""

    name = "npz"
    dtypes = HELD
    save = staticmethod(np.savez)

    def write(self, path, tensors):
        with open(path, "wb") as file:
            self.save(file, **{key: tensor.numpy() for key, tensor in tensors.items()})

    def truth(self, path):
        with np.load(path) as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays}


class TestCompressedNpz(TestNpz):
    """np.savez_compressed."""

    save = staticmethod(np.savez_compressed)


class TestNpy(TestNpz):
    """np.save: one array, in Fortran order."""

    name = "npy"

    def tensors(self):
        return {"array": torch.arange(24, dtype=torch.float64).reshape(2, 3, 4).permute(2, 1, 0)}

    def write(self, path, tensors):
        ((_, tensor),) = tensors.items()
        with open(path, "wb") as file:
            np.save(file, tensor.numpy())

    def truth(self, path):
        return {"array": torch.from_numpy(np.load(path))}


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("dtype", [d for d in HELD if d is not torch.bool], ids=str)
def test_each_type_in_each_order(dtype, byte_order, order, tmp_path):
    """Every number of numpy, little- and big-endian, rows or columns first, has numpy's values."""
    array = np.arange(24).reshape(2, 3, 4).astype(torch.empty(0, dtype=dtype).numpy().dtype.newbyteorder(byte_order))
    np.save(tmp_path / "x.npy", np.asarray(array, order=order))
    lazy = weightlift.open(tmp_path / "x.npy").state_dict()["array"]
    np.testing.assert_array_equal(lazy.numpy(), array)
    np.testing.assert_array_equal(lazy.torch().numpy(), array)
    assert lazy.torch().dtype is dtype


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_each_version_of_the_header(version, tmp_path):
    """Headers of versions 1 to 3 are read."""
    with open(tmp_path / "x", "wb") as file:
        np.lib.format.write_array(file, np.arange(5), version=version)
    assert weightlift.open(tmp_path / "x").state_dict()["array"].numpy().tolist() == [0, 1, 2, 3, 4]


class Bomb:
    """An object whose unpickling would be noticed."""

    def __reduce__(self):
        return pytest.fail, ("a pickle inside an array was carried out",)


@pytest.mark.parametrize("array", [np.array([Bomb()], object), np.array(["text"]), np.zeros(2, "f4,i2")], ids=str)
def test_arrays_that_are_no_numbers_are_reported_and_not_unpickled(array, tmp_path):
    """Objects, strings and records are told in a finding beside the arrays that are read."""
    np.savez(tmp_path / "x.npz", good=np.arange(3), odd=array)
    checkpoint = weightlift.open(tmp_path / "x.npz")
    assert list(checkpoint.state_dict()) == ["good"]
    assert [(f.code, f.where) for f in checkpoint.findings] == [("not-a-tensor", "odd.npy")]
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(UnsupportedError, match="expected numbers or booleans"):
        weightlift.open(tmp_path / "x.npy")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F", "permuted", "strided", "big-endian", "0-d", "empty"])
def test_arrays_inside_a_pickle(order, protocol, tmp_path):
    """Arrays of any memory order pickled by numpy in any protocol are weights like tensors are."""
    base = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    array = {
        "C": base, "F": np.asfortranarray(base), "permuted": base.transpose(1, 0, 2), "strided": base[:, ::2, 1:],
        "big-endian": base.astype(">f4"), "0-d": np.array(1.5), "empty": base[:0],
    }[order]  # fmt: skip
    if protocol < 2:
        (tmp_path / "x").write_bytes(__import__("pickle").dumps({"w": array, "v": base}, protocol))
    else:
        torch.save({"w": array, "v": base}, tmp_path / "x", pickle_protocol=protocol)
    state_dict = weightlift.open(tmp_path / "x").state_dict()
    np.testing.assert_array_equal(state_dict["w"].numpy(), array)
    assert state_dict["w"].shape == array.shape
    assert element_bytes(state_dict["v"].torch()) == base.tobytes()


def test_a_stream_of_bytes_is_no_array(tmp_path):
    """An array whose header claims more elements than follow is an error of ours."""
    out = io.BytesIO()
    np.save(out, np.arange(10))
    (tmp_path / "x.npy").write_bytes(out.getvalue().replace(b"(10,)", b"(11,)"))
    with pytest.raises(weightlift.WeightliftError, match=r"80 bytes of elements; expected 88 for shape \[11\]"):
        weightlift.open(tmp_path / "x.npy")
