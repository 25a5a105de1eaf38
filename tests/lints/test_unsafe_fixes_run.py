"""What the fixes of WL302 to WL309 do to a program: it runs before and after them, under torch."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

from lint_fixtures import fixed


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Return a model, with its state dict in `model.pt` of the working directory."""
    monkeypatch.chdir(tmp_path)
    made = nn.Linear(2, 2)
    torch.save(made.state_dict(), "model.pt")
    return made


def ran(text: str | bytes) -> dict[str, Any]:
    """Run a program and return its names."""
    names: dict[str, Any] = {}
    exec(compile(text, "program.py", "exec"), names)
    return names


def after(code: str, text: str, tmp_path) -> str:
    """Return a program with the fixes of a rule, of which there is at least one."""
    path = tmp_path / code / "program.py"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    made = fixed(path).decode()
    assert made != text
    return made


def save_from_a_gpu(value: object, path: str) -> None:
    """Save as where there is a GPU: each storage is marked as one of its memory."""
    with mock.patch("torch.serialization.location_tag", return_value="cuda:0"):
        torch.save(value, path)


def test_weights_only_with_a_pickle_module_loads_without_it(model, tmp_path):
    """A load that raised, as it asked for both, loads the weights once it asks for weights alone."""
    text = 'import pickle\nimport torch\nw = torch.load("model.pt", pickle_module=pickle, weights_only=True)\n'
    with pytest.raises(RuntimeError, match="explicit pickle_module"):
        ran(text)
    assert torch.equal(ran(after("WL303", text, tmp_path))["w"]["weight"], model.weight)


@pytest.mark.parametrize("given", ["storage", "storage.cpu()"])
def test_cpu_is_what_the_lambda_was(given, model, tmp_path):
    """What a lambda loaded onto the CPU, from a GPU too, is loaded there by its name, equal to the bit."""
    save_from_a_gpu(model.state_dict(), "gpu.pt")
    text = f"""import torch
a = torch.load("model.pt", map_location=lambda storage, loc: {given})
b = torch.load("gpu.pt", map_location=lambda storage, loc: {given})
"""
    before, now = ran(text), ran(after("WL309", text, tmp_path))
    for name in "ab":
        assert now[name].keys() == before[name].keys()
        for key, value in now[name].items():
            assert torch.equal(value, before[name][key])
            assert value.device == before[name][key].device


@pytest.mark.parametrize("device", ['"cpu"', 'torch.device("cpu")'])
def test_a_lambda_that_returns_a_device_raised(device, model, tmp_path):
    """A load whose lambda returned a device raised, and loads when it is given the device."""
    text = f'import torch\nw = torch.load("model.pt", map_location=lambda storage, loc: {device})\n'
    with pytest.raises(TypeError):
        ran(text)
    assert torch.equal(ran(after("WL309", text, tmp_path))["w"]["weight"], model.weight)


def test_safetensors_load_without_the_lambda(model, tmp_path):
    """A safetensors file, which torch refuses to load with a function, loads with the name of a device."""
    from safetensors.torch import save_file

    save_file(model.state_dict(), "model.safetensors")
    text = 'import torch\nw = torch.load("model.safetensors", map_location=lambda storage, loc: storage)\n'
    with pytest.raises(RuntimeError, match="callable map_location"):
        ran(text)
    assert torch.equal(ran(after("WL309", text, tmp_path))["w"]["weight"], model.weight)


LOADS_INTO = """import torch
device = "cuda" if torch.cuda.is_available() else "cpu"
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.Adam(model.parameters())
model.load_state_dict(torch.load("all.pt")["model"])
optimizer.load_state_dict(torch.load("all.pt")["optimizer"])
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "next.pt")
"""


def a_checkpoint(model: nn.Module) -> dict[str, Any]:
    """Return the states of a model and of its optimizer after a step."""
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def test_a_file_from_a_gpu_loads_without_one(model, tmp_path, monkeypatch):
    """A checkpoint that was saved from a GPU that is not there raised, and loads with map_location."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    save_from_a_gpu(a_checkpoint(model), "all.pt")
    with pytest.raises(RuntimeError, match="CUDA device"):
        ran(LOADS_INTO)
    now = ran(after("WL308", LOADS_INTO, tmp_path))
    assert torch.equal(now["model"].weight, model.weight)


def test_map_location_changes_nothing_that_is_copied(model, tmp_path):
    """Where a load worked, the model and the optimizer that it goes into are as they were without map_location."""
    torch.save(a_checkpoint(model), "all.pt")
    before, now = ran(LOADS_INTO), ran(after("WL308", LOADS_INTO, tmp_path))
    assert torch.equal(now["model"].weight, before["model"].weight)
    mine, theirs = now["optimizer"].state_dict(), before["optimizer"].state_dict()
    assert mine["param_groups"] == theirs["param_groups"]
    for index, state in theirs["state"].items():
        assert all(torch.equal(mine["state"][index][key], value) for key, value in state.items())


def test_a_model_and_its_loads_go_by_the_state_dict(model, tmp_path):
    """A model that torch refused to load by default comes back from its state dict, and so does the state dict."""
    text = """import torch
from torch import nn
model = nn.Linear(2, 2)
torch.save(model, "full.pt")
loaded = torch.load("full.pt")
weights = torch.load("full.pt").state_dict()
"""
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        ran(text)
    now = ran(after("WL304", text, tmp_path))
    assert torch.equal(now["loaded"].weight, now["model"].weight)
    assert torch.equal(now["weights"]["bias"], now["model"].bias)


def test_a_state_dict_has_no_state_dict(model, tmp_path):
    """A load of a state dict that asked it for its state dict raised, and now gives it."""
    text = """import torch
from torch import nn
model = nn.Linear(2, 2)
torch.save(model.state_dict(), "weights.pt")
weights = torch.load("weights.pt").state_dict()
"""
    with pytest.raises(AttributeError, match="state_dict"):
        ran(text)
    now = ran(after("WL306", text, tmp_path))
    assert torch.equal(now["weights"]["weight"], now["model"].weight)


def test_an_optimizer_loaded_whole_moves_nothing(model):
    """What the page of WL305 says: a step of an optimizer that was saved whole leaves the model as it is."""
    torch.save(torch.optim.SGD(model.parameters(), lr=0.1), "optimizer.pt")
    optimizer = torch.load("optimizer.pt", weights_only=False)
    before = model.weight.clone()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(model.weight, before)


FILTERS = {
    "AttributeError": "def pick(storage, location):\n    return torch.load(storage)['model']\n",
    "TypeError": "def pick(checkpoint):\n    return checkpoint['model']\n",
}


@pytest.mark.parametrize("error", FILTERS)
def test_a_filter_raises(error, model):
    """What the page of WL307 says: a function that takes a storage for the file or the checkpoint raises."""
    with pytest.raises((AttributeError, TypeError)) as raised:
        ran(f"import torch\n{FILTERS[error]}torch.load('model.pt', map_location=pick)\n")
    assert type(raised.value).__name__ == error
