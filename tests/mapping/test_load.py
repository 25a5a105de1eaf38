"""`load` joins equal names, sees through wrappers, and raises the report of what does not fit."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from weightlift.actions.load import load
from weightlift.errors import PlanError, WeightliftError
from weightlift.mapping.fitting import LoadError
from weightlift.mapping.plan import Plan
from weightlift.state_dict import StateDict

from live_models import Net, assert_equal, filled, snapshot

WRAPPERS = ["", "module", "_orig_mod", "model", "module._orig_mod", "_orig_mod.module", "model.module", "module.module"]
PREFIXES = [f"{name}." if name else "" for name in WRAPPERS]


@pytest.mark.parametrize("strip", [*PREFIXES, "net."])
@pytest.mark.parametrize("add", PREFIXES)
def test_wrappers_are_recognised_and_said(strip, add):
    """Wrappers one inside another, of the checkpoint, the model or both, are seen through, and a note says so."""
    source = StateDict.from_module(filled(Net())).add_prefix(strip)
    inner = model = Net()
    for name in reversed(add.split(".")[:-1]):
        model = _holding(name, model)
    if strip == "net." and "model." in add:
        with pytest.raises(LoadError):  # two names for a model are no wrappers of one
            load(model, source)
        return
    report = load(model, source)
    assert_equal(inner, filled(Net()))
    assert bool(report.notes) == (strip != add)
    if strip and not add:
        assert report.notes == (f"the source's names begin with {strip!r}, which is left out",)
    if add and not strip:
        assert report.notes == (f"the target's names begin with {add!r}, which is put before the source's",)


def _holding(name: str, model: nn.Module) -> nn.Module:
    outer = nn.Module()
    outer.add_module(name, model)
    return outer


def test_no_note_without_a_wrapper():
    """Nothing is noted where the names are equal."""
    assert load(Net(), StateDict.from_module(filled(Net()))).notes == ()


def test_a_plain_mapping_of_tensors_is_a_source():
    """What `state_dict()` gives, or arrays by name, is loaded as it is."""
    model, source = Net(tie=False), filled(Net(tie=False))
    load(model, source.state_dict())
    assert_equal(model, source)
    load(model, {key: value.numpy() * 0 for key, value in source.state_dict().items()})
    assert not any(value.any() for value in model.state_dict().values())


def test_missing_names_can_be_excused():
    """`missing=` lists targets that keep their values; they are in the report with the reason."""
    model, source = filled(Net(tie=False)), filled(Net(tie=False), seed=2)
    kept = model.head.weight.detach().clone()
    report = load(model, StateDict.from_module(source).drop("head.**"), missing=["head.**"])
    assert torch.equal(model.head.weight, kept)
    assert torch.equal(model.embed.weight, source.embed.weight)
    assert [(line.key, line.note) for line in report.with_status("init")] == [("head.weight", "excused by missing=")]


def test_unexpected_names_can_be_excused():
    """`unexpected=` lists sources that are left out; they are in the report with the reason."""
    model, source = Net(), filled(Net())
    more = StateDict.from_module(source).merge({"pooler.weight": torch.rand(2)})
    report = load(model, more, unexpected=["pooler.**"])
    assert_equal(model, source)
    found = [(line.key, line.note) for line in report.with_status("dropped")]
    assert found == [("pooler.weight", "excused by unexpected=")]


def test_shapes_can_be_excused():
    """`mismatch=` lists targets that keep their values where the shape differs, and loads them where it does not."""
    model, source = filled(Net(tie=False)), filled(Net(tie=False), seed=2)
    source.head = filled(nn.Linear(3, 7, bias=False))
    kept = model.head.weight.detach().clone()
    report = load(model, StateDict.from_module(source), mismatch=["head.**", "embed.weight"])
    assert torch.equal(model.head.weight, kept)
    assert torch.equal(model.embed.weight, source.embed.weight)
    assert report.counts["init"] == report.counts["dropped"] == 1


@pytest.mark.parametrize("word", ["missing", "unexpected", "mismatch"])
def test_an_excuse_is_a_list(word):
    """A pattern that is no list is an error, and not a list of letters."""
    with pytest.raises(PlanError, match=rf"{word}='head.\*\*'; expected \"error\", or a list"):
        load(Net(), StateDict.from_module(Net()), **{word: "head.**"})


def misfit() -> tuple[nn.Module, StateDict]:
    """A model and a source that differ in every way at once."""
    model = filled(nn.ModuleDict({"enc": nn.Linear(2, 3), "head": nn.Linear(3, 4), "new": nn.Linear(1, 1)}))
    source = filled(nn.ModuleDict({"encoder": nn.Linear(2, 3), "head": nn.Linear(3, 7), "pool": nn.Conv1d(2, 2, 3)}), 2)
    return model, StateDict.from_module(source)


def test_the_error_is_the_report():
    """The message of a LoadError has every tensor that does not fit, on both sides."""
    model, source = misfit()
    before = snapshot(model)
    with pytest.raises(LoadError) as caught:
        load(model, source)
    text = str(caught.value)
    assert text.startswith("the checkpoint does not fit the model; nothing was loaded")
    assert str(caught.value.report) in text
    for key in ("enc.weight", "new.bias", "pool.weight", "head.weight", "would be [7, 3]; the target's is [4, 3]"):
        assert key in text, key
    assert snapshot(model) == before


def test_the_lines_of_the_error_settle_it():
    """The rule lines in the message are a whole plan: put into one they parse, fit, and load."""
    model, source = misfit()
    with pytest.raises(LoadError) as caught:
        load(model, source)
    lines = [line.strip() for line in str(caught.value).partition("into a plan:\n")[2].splitlines()]
    assert lines == list(caught.value.suggestions)
    report = load(model, source, plan=Plan.of("\n".join(lines)))
    assert torch.equal(model["enc"].weight, source["encoder.weight"].torch())
    assert {line.key for line in report.with_status("init")} == {"new.weight", "new.bias", "head.weight", "head.bias"}


def test_the_lines_of_the_error_keep_what_fits():
    """The lines join what has equal names, strip a wrapper, and leave out by name what does not fit."""
    source = StateDict.from_module(filled(Net(tie=False))).drop("norm.bias").add_prefix("module.")
    with pytest.raises(LoadError) as caught:
        load(Net(tie=False), source)
    assert caught.value.suggestions == ("module.** -> **", 'init -> norm.bias "why?"')


def test_the_lines_of_the_error_settle_ties():
    """Where one tensor of the model would be made of two, the lines keep the first and drop the other."""
    source = StateDict.from_module(filled(Net(tie=False)))
    with pytest.raises(LoadError, match="are one tensor in the target") as caught:
        load(Net(), source)
    model = Net()
    load(model, source, plan=Plan.of("\n".join(caught.value.suggestions)))
    assert torch.equal(model.head.weight, source["embed.weight"].torch())


def test_extra_state_is_said():
    """What is no tensor cannot be set down in a model: an error, unless the model has it too or it is excused."""

    class WithExtra(nn.Linear):
        def get_extra_state(self):
            return {"calls": 3}

        def set_extra_state(self, state):
            raise AssertionError(state)

    source = StateDict.from_module(WithExtra(2, 2))
    with pytest.raises(LoadError, match="'_extra_state' is no plain tensor"):
        load(nn.Linear(2, 2), source)
    for model, excused in ((WithExtra(2, 2), "error"), (nn.Linear(2, 2), ["_extra_state"])):
        report = load(model, source, unexpected=excused)
        assert any("'_extra_state'" in note for note in report.notes)


def test_a_plan_from_a_file(tmp_path):
    """`plan=` takes a plan or the path of one."""
    path = tmp_path / "rename.plan.toml"
    Plan.of("old.{t} -> {t}").save(path)
    source = StateDict.from_module(filled(nn.Linear(2, 2))).add_prefix("old.")
    for plan in (path, str(path), Plan.load(path)):
        model = nn.Linear(2, 2)
        load(model, source, plan=plan)
        assert_equal(model, filled(nn.Linear(2, 2)))


ODD_NAMES = ["my head", "x{1}", "(0, 1)", "h#", "a,b", "a:", "w[0:1]", "`q`", 'say "w"', "50%", "**", "a\nb", ""]


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_names_that_look_like_rules_are_only_names(odd):
    """Whatever a name holds, a load that does not fit is told, and the lines told settle it."""
    model = nn.ModuleDict({"ok": nn.Linear(2, 2, bias=False)})
    more = nn.Linear(2, 2, bias=False)
    given = {"ok.weight": torch.ones(2, 2), f"{odd}.w": torch.ones(3)}
    with pytest.raises(LoadError) as caught:
        load(model, given)
    load(model, given, plan=Plan.of("\n".join(("ok.weight -> ok.weight", *settling(caught.value)))))
    assert torch.equal(model["ok"].weight, torch.ones(2, 2))
    model.add_module(odd.replace(".", "_") or "empty", more)
    with pytest.raises(LoadError):
        load(model, given)
    report = load(model, given, missing=["**"], unexpected=["**"])
    assert report.counts == {"exact": 1, "init": 1, "dropped": 1}


def settling(error: LoadError) -> list[str]:
    """The lines that an error tells, without the one that joins equal names."""
    return [line for line in error.suggestions if not line.startswith("** ->")]


@pytest.mark.parametrize("thing", [3, {}, nn.Linear])
def test_only_a_module_is_a_model(thing):
    """Something else than a live module is refused with what it is."""
    with pytest.raises(PlanError, match=f"a {type(thing).__name__}; expected a live torch module"):
        load(thing, {"weight": torch.ones(2)})


@pytest.mark.parametrize("name", [0, None, ("a", "b")])
def test_names_are_texts(name):
    """A dict whose keys are no names is refused with the key."""
    for attempt in (load, lambda model, given: Plan.of("** -> **").apply(model, given)):
        with pytest.raises(WeightliftError, match=f"the name {re.escape(repr(name))}; expected names that are texts"):
            attempt(nn.Linear(2, 2), {name: torch.ones(2)})
