"""TorchScript archives of torch.jit, full and mobile, and the layout before 1.4 by hand."""

# ruff: noqa: D102, RUF012 - `write`, `truth`, `dtypes` ... are described by the conformance class

from __future__ import annotations

import io
import json
import zipfile

import pytest
import torch

import weightlift

from .conformance import Conformance, module_of
from strategies import element_bytes, name_of, storage_bytes

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # torch deprecates and doubts all of TorchScript

HELD = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int16]
HELD += [torch.int32, torch.int64, torch.complex64, torch.complex128]


class TestScripted(Conformance):
    """torch.jit.script(module).save(path)."""

    name = "torchscript"
    dtypes = HELD

    def scripted(self, tensors):
        return torch.jit.script(module_of(tensors))

    def write(self, path, tensors):
        self.scripted(tensors).save(str(path))

    def truth(self, path):
        return torch.jit.load(str(path)).state_dict()


class TestMobile(TestScripted):
    """_save_for_lite_interpreter: the .ptl of phones."""

    def write(self, path, tensors):
        self.scripted(tensors)._save_for_lite_interpreter(str(path))

    def test_says_that_it_is_mobile(self, path):
        """The bytecode beside the module is told in the details."""
        assert weightlift.open(path).details["mobile"] is True


class Net(torch.nn.Module):
    """A module with everything that a scripted one can have."""

    def __init__(self):
        super().__init__()
        self.shared = torch.nn.Linear(3, 3)
        self.again = self.shared
        self.norm = torch.nn.BatchNorm1d(3)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 3, bias=False) for _ in range(2)])
        self.register_buffer("hidden", torch.ones(3), persistent=False)
        self.table: dict[str, int] = {"a": 1}
        self.not_a_buffer = torch.full((2,), 7.0)
        self.scale = 0.5

    def forward(self, x):
        """Use all of it, and a constant."""
        x = self.norm(self.again(self.shared(x))) * self.scale + self.hidden + self.not_a_buffer.sum()
        for layer in self.layers:
            x = layer(x)
        return x + torch.tensor([1.0, 2.0, 3.0])


def linear():
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)


MODULES = {
    "scripted": lambda: torch.jit.script(Net()),
    "traced": lambda: torch.jit.trace(Net().eval(), torch.ones(2, 3)),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(Net().eval())),
    "half": lambda: torch.jit.script(Net().half()),
    "without gradients": lambda: torch.jit.script(Net().requires_grad_(requires_grad=False)),
}


@pytest.mark.parametrize("mobile", [False, True])
@pytest.mark.parametrize("kind", MODULES)
def test_modules_have_the_state_dict_that_torch_gives_them(kind, mobile, tmp_path):
    """Parameters, buffers, shared submodules: keys, order and values of torch.jit.load(...).state_dict()."""
    module = MODULES[kind]()
    save = module._save_for_lite_interpreter if mobile else module.save
    save(str(tmp_path / "x"))
    truth = torch.jit.load(str(tmp_path / "x")).state_dict()
    checkpoint = weightlift.open(tmp_path / "x")
    assert checkpoint.format == "torchscript"
    if not truth:  # a frozen module: all its weights are constants of its code
        assert checkpoint.state_dicts == {}
        assert len([c for c in checkpoint.details["constants"] if hasattr(c, "dtype")]) > 0
        return
    state_dict = checkpoint.state_dict()
    assert list(state_dict) == list(truth)
    for key, wanted in truth.items():
        assert (state_dict[key].dtype.name, state_dict[key].stride) == (name_of(wanted.dtype), wanted.stride())
        assert state_dict[key].tobytes() == element_bytes(wanted)


def test_constants_are_told_and_are_not_weights(tmp_path):
    """Tensors that only the code uses stand in the details, and a note says so."""
    torch.jit.trace(Net().eval(), torch.ones(2, 3)).save(str(tmp_path / "x"))
    checkpoint = weightlift.open(tmp_path / "x")
    assert "constants" in [finding.code for finding in checkpoint.findings]
    values = [c.numpy().tolist() for c in checkpoint.details["constants"] if hasattr(c, "numpy")]
    assert [1.0, 2.0, 3.0] in values


def test_packed_parameters_of_a_quantised_module_are_readable(tmp_path):
    """The weight and bias that a quantised linear layer packs away are there, with torch's integers."""
    module = linear()
    torch.jit.script(module).save(str(tmp_path / "x"))
    weight, bias = module[0]._packed_params._weight_bias()
    state_dict = weightlift.open(tmp_path / "x").state_dict()
    quantised = [value for value in state_dict.values() if getattr(value, "layout", "") == "quantized"]
    plain = [value for value in state_dict.tensors.values() if not hasattr(value, "layout")]
    assert [q.parts["int_repr"].tobytes() for q in quantised] == [element_bytes(weight.int_repr())]
    assert element_bytes(bias) in [value.tobytes() for value in plain]


class TestModelJson(Conformance):
    """The layout before 1.4: model.json, a member per storage. By hand; no torch of today writes it."""

    name = "torchscript-json"
    dtypes = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8]
    dtypes += [torch.int16, torch.int32, torch.int64]

    kinds = {
        "float32": "FLOAT", "float64": "DOUBLE", "float16": "FLOAT16", "bfloat16": "BFLOAT16", "bool": "BOOL",
        "uint8": "UINT8", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    }  # fmt: skip

    def write(self, path, tensors):
        storages = {t.untyped_storage()._cdata: f"tensors/{i}" for i, t in enumerate(tensors.values())}
        table = [
            {
                "dims": [str(n) for n in t.shape],
                "offset": str(t.storage_offset()),
                "strides": [str(n) for n in t.stride()],
                "requiresGrad": False,
                "dataType": self.kinds[name_of(t.dtype)],
                "data": {"key": storages[t.untyped_storage()._cdata]},
                "device": "cpu",
            }
            for t in tensors.values()
        ]
        root = {"name": "Net", "parameters": [], "submodules": []}
        for number, key in enumerate(tensors):
            module, (*folders, name) = root, key.split(".")
            for folder in folders:
                known = [m for m in module["submodules"] if m["name"] == folder]
                if not known:
                    known = [{"name": folder, "parameters": [], "submodules": []}]
                    module["submodules"] += known
                module = known[0]
            module["parameters"].append({"isBuffer": False, "tensorId": str(number), "name": name})
        model = {"protoVersion": "6", "mainModule": root, "producerName": "pytorch", "tensors": table}
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/version", "1")
            archive.writestr("net/model.json", json.dumps(model))
            for tensor in {t.untyped_storage()._cdata: t for t in tensors.values()}.values():
                name = storages[tensor.untyped_storage()._cdata]
                archive.writestr(f"net/{name}", storage_bytes(tensor).tobytes())
        whole = path.with_suffix(".whole")
        whole.write_bytes(pickled := saved({key: tensors[key] for key in module_of(tensors).state_dict()}))
        assert pickled

    def truth(self, path):
        """The same tensors, in the order of a module's parameters and submodules."""
        held = torch.load(path.with_suffix(".whole"))
        top = {key: value for key, value in held.items() if "." not in key}
        return top | held


def saved(obj):
    file = io.BytesIO()
    torch.save(obj, file)
    return file.getvalue()


def test_model_json_puts_parameters_before_buffers_and_reads_a_quantised_tensor(tmp_path):
    """Buffers come after parameters; a quantised tensor has its integers, scale and zero point."""
    common = {"dims": ["2"], "strides": ["1"], "offset": "0", "device": "cpu"}
    tensors = [
        {**common, "dataType": "UINT8", "data": {"key": "t0"}, "isQuantized": True, "scale": 0.5, "zeroPoint": "3"},
        {**common, "dataType": "FLOAT", "data": {"key": "t1"}, "requiresGrad": True},
    ]
    parameters = [{"name": "b", "isBuffer": True, "tensorId": "0"}, {"name": "w", "tensorId": "1"}]
    model = {"mainModule": {"name": "m", "parameters": parameters}, "tensors": tensors}
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("m/model.json", json.dumps(model))
        archive.writestr("m/t0", bytes([7, 9]))
        archive.writestr("m/t1", torch.tensor([1.5, -2.0]).numpy().tobytes())
    state_dict = weightlift.open(tmp_path / "x").state_dict()
    assert [(key, value.role) for key, value in state_dict.items()] == [("w", "parameter"), ("b", "buffer")]
    assert state_dict["w"].requires_grad
    assert state_dict["b"].torch().dequantize().tolist() == [2.0, 3.0]
