"""What the fixes of `--to weightlift` do to a program: it runs before and after them, under torch."""

from __future__ import annotations

import pickle
import textwrap

import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.lints.check import check_file
from weightlift.lints.fixing import choose, edits_by_path, rewritten
from weightlift.lints.rule import rule
from weightlift.lints.source_file import SourceFile
from weightlift.lints.values import Diagnostic, Settings

from lint_fixtures import fixtures, name

pytest.importorskip("libcst")

START = "import torch\nfrom torch import nn\n\nmodel = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))\n"


class Saved(nn.Sequential):
    """A class of which only the file knows."""


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Return the weights that are in the files of the working directory, each as its name says."""
    monkeypatch.chdir(tmp_path)
    saved = Saved(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weights = saved.state_dict()
    torch.save(saved, "whole.pt")
    torch.save({"state_dict": weights, "epoch": 3}, "checkpoint.pt")
    torch.save({f"module.{key}": value for key, value in weights.items()}, "parallel.pt")
    torch.save({f"backbone.{key}": value for key, value in weights.items()}, "renamed.pt")
    return weights


def found(code: str, text: str, **settings: object) -> list[Diagnostic]:
    """Return what a rule finds in a program, with fixes that may use weightlift."""
    asked = Settings(to="weightlift", **settings)
    return check_file(SourceFile("program.py", text.encode(), asked), [rule(code)])


def programs(code: str, text: str, **settings: object) -> tuple[str, str]:
    """Return a program, and the same after the fixes of a rule."""
    before = START + textwrap.dedent(text)
    chosen = choose(found(code, before, **settings), unsafe=True)
    assert chosen
    after = rewritten(before.encode(), edits_by_path(chosen)["program.py"]).decode()
    assert "weightlift" in after
    return before, after


def run(program: str) -> dict[str, object]:
    """Run a program and return its names."""
    names: dict[str, object] = {}
    exec(compile(program, "program.py", "exec"), names)  # our own programs
    return names


def has(names, weights) -> bool:
    """Whether the model of a program has these weights."""
    return wl.StateDict.from_module(names["model"]).equals(weights)


@pytest.mark.parametrize(
    ("code", "load"),
    [
        ("WL301", 'torch.load("whole.pt")'),
        ("WL302", 'torch.load("whole.pt", weights_only=False)'),
        ("WL302", 'torch.load("whole.pt", weights_only=False).state_dict()'),
        ("WL306", 'torch.load("whole.pt").state_dict()'),
        ("WL306", 'torch.load("whole.pt", weights_only=True).state_dict()'),
    ],
)
def test_the_weights_of_a_whole_model_are_read_without_its_classes(code, load, weights, monkeypatch):
    """A load of a whole model raises where its class is not, and after the fix its weights are in the model."""
    before, after = programs(code, f"model.load_state_dict({load})", torch_min=(2, 1))
    monkeypatch.delattr(f"{__name__}.Saved")
    with pytest.raises((pickle.UnpicklingError, AttributeError)):
        run(before)
    assert has(run(after), weights)


@pytest.mark.parametrize("code", ["WL301", "WL302"])
def test_an_entry_is_the_same_without_running_the_file(code, weights):
    """An entry of a checkpoint that is loaded into a model is the same before and after the fix."""
    said = ", weights_only=False" if code == "WL302" else ""
    text = f'model.load_state_dict(torch.load("checkpoint.pt"{said})["state_dict"])'
    before, after = programs(code, text, torch_min=(2, 1))
    assert "torch.load" not in after
    assert has(run(before), weights)
    assert has(run(after), weights)


def test_a_name_for_what_was_loaded_whole(weights):
    """What is taken of a whole model by way of a name is its state dict after the fix too, and has the versions."""
    text = 'loaded = torch.load("whole.pt")\nweights = loaded.state_dict()\nmodel.load_state_dict(weights)\n'
    before, after = programs("WL306", text)
    with pytest.raises(pickle.UnpicklingError):
        run(before)
    names = run(after)
    assert has(names, weights)
    assert names["weights"]._metadata == weights._metadata


@pytest.mark.parametrize("file", ["whole.pt", "checkpoint.pt", "parallel.pt"])
def test_a_filter_becomes_the_weights_of_any_file(file, weights):
    """A function as map_location that raises becomes the weights of whatever the file holds."""
    before, after = programs(
        "WL307",
        f"""
        def pick(storage, location):
            return torch.load(storage, map_location=location)["state_dict"]

        weights = torch.load("{file}", map_location=pick)
        """,
    )
    with pytest.raises((pickle.UnpicklingError, AttributeError)):
        run(before)
    got = {key.removeprefix("module."): value for key, value in run(after)["weights"].items()}
    assert wl.StateDict.of(got).equals(weights)


def test_what_does_not_fit_raises_and_nothing_is_loaded(weights):
    """A load with strict=False that loads nothing says so after the fix, and the model is as it was."""
    before, after = programs("WL401", 'model.load_state_dict(torch.load("renamed.pt"), strict=False)')
    assert not has(run(before), weights)
    with pytest.raises(wl.WeightliftError, match=r"nothing was loaded(?s:.)*missing  0\.weight"):
        run(after)


@pytest.mark.parametrize(
    "load", ['torch.load("checkpoint.pt")["state_dict"]', 'torch.load("parallel.pt")', 'torch.load("whole.pt")']
)
def test_what_fits_is_loaded(load, weights):
    """What a load with strict=False was to load is loaded after the fix, a wrapper's prefix or not."""
    assert has(run(programs("WL401", f"model.load_state_dict({load}, strict=False)")[1]), weights)


def test_a_dict_of_weights_is_loaded(weights):
    """A state dict by its name is handed to weightlift.load as it is."""
    text = 'weights = torch.load("checkpoint.pt")["state_dict"]\nmodel.load_state_dict(weights, strict=False)'
    _, after = programs("WL401", text)
    assert "weightlift.load(model, weights)" in after
    assert has(run(after), weights)


_CUT = {
    "WL402": "{k[7:]: v for k, v in %s.items()}",
    "WL403": '{k.replace("module.", ""): v for k, v in %s.items()}',
}


@pytest.mark.parametrize("code", _CUT)
def test_a_prefix_is_stripped_or_it_raises(code, weights):
    """A prefix that every key has is stripped as before the fix; keys without it raise and are not cut."""
    text = 'state_dict = torch.load("{}")\ngot = ' + _CUT[code] % "state_dict" + "\nmodel.load_state_dict(got)\n"
    before, after = programs(code, text.replace("{}", "parallel.pt", 1))
    assert has(run(before), weights)
    assert has(run(after), weights)
    _, raising = programs(code, text.replace("{}", "renamed.pt", 1))
    with pytest.raises(wl.WeightliftError, match=r"'backbone.0.weight' does not begin with 'module.'"):
        run(raising)


@pytest.mark.parametrize("code", _CUT)
def test_a_prefix_straight_into_a_model_is_left_to_load(code, weights):
    """A load whose keys were cut in the call is weightlift's after the fix, with the same weights in the model."""
    before, after = programs(code, "model.load_state_dict(" + _CUT[code] % 'torch.load("parallel.pt")' + ")")
    assert 'weightlift.load(model, "parallel.pt")' in after
    assert has(run(before), weights)
    assert has(run(after), weights)


def test_modules_are_put_together_under_the_same_names():
    """What two modules write into a dict is there after the fix, by the same names, with values of its own."""
    text = """
        other = nn.Linear(2, 1)
        together = {}
        model.state_dict(together, "encoder.")
        other.state_dict(together, "decoder.")
        copied = together["decoder.bias"].data_ptr() != other.bias.data_ptr()
        both = nn.ModuleDict({"encoder": model, "decoder": other}).state_dict()
    """
    before, after = programs("WL201", text)
    with pytest.warns(FutureWarning, match="Positional args"):
        was = run(before)
    now = run(after)
    assert list(was["together"]) == list(now["together"]) == list(now["both"])
    assert wl.StateDict.of(now["together"]).equals(now["both"])
    assert (was["copied"], now["copied"]) == (False, True)
    versions = now["both"]._metadata
    assert now["together"]._metadata == {key: value for key, value in versions.items() if key}


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        ("WL304", 'torch.save(model, "a.pt")', "or call weightlift.save(path, model=...)"),
        (
            "WL405",
            """
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
            optimizer.step()
            scheduler.step()
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "a.pt")
            """,
            "weightlift.CheckpointStore saves and resumes all of a run",
        ),
    ],
)
def test_where_no_rewrite_is_certain_the_message_names_it(code, text, told):
    """A finding whose loads are not to be seen has no fix, and says what of weightlift to use."""
    (one,) = found(code, START + textwrap.dedent(text))
    assert one.message.endswith(told)
    assert one.fix is None


def test_a_model_saved_by_weightlift_is_loaded_by_it(weights, tmp_path):
    """What the page of WL304 says: weightlift.save(path, model=model) is what weightlift.load(model, path) takes."""
    model = Saved(nn.Linear(2, 2), nn.BatchNorm1d(2))
    wl.save(tmp_path / "saved", model=model)
    other = Saved(nn.Linear(2, 2), nn.BatchNorm1d(2))
    wl.load(other, tmp_path / "saved")
    assert wl.StateDict.from_module(other).equals(model.state_dict())


@pytest.mark.parametrize("path", [each for each in fixtures("bad") if each.stem == "bad_ours"], ids=name)
def test_without_being_asked_no_fix_uses_weightlift(path):
    """Without `--to weightlift` no fix writes it and no message names it."""
    data = path.read_bytes()
    file = SourceFile("program.py", data, Settings(torch_min=(2, 1)))
    found = check_file(file, [rule(path.parent.name)])
    assert found
    assert not any("weightlift" in one.message for one in found)
    chosen = choose(found, unsafe=True)
    assert not chosen or b"weightlift." not in rewritten(data, edits_by_path(chosen)["program.py"])
