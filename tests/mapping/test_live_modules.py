"""Live modules as targets: whatever kind they are, all of a plan is set down in them, or nothing is."""

from __future__ import annotations

import gc
import os

import pytest
import torch
from torch import nn

from weightlift.actions.load import LoadError, load
from weightlift.errors import OverflowingError, PlanError, WeightliftError, WriteError
from weightlift.mapping.apply import apply_to_module
from weightlift.mapping.plan import Plan
from weightlift.mapping.resolve import PlanProblems
from weightlift.sources import Source
from weightlift.state_dict import StateDict
from weightlift.tensors.lazy import Storage, contiguous
from weightlift.tensors.torch_modules import ModuleTarget

both_ways = pytest.mark.parametrize("assign", [False, True], ids=["in place", "assign"])


def seeded(make, seed: int = 0):
    torch.manual_seed(seed)
    return make()


def filled(module: nn.Module, seed: int = 1) -> nn.Module:
    """Every value of a module random: default initial values hide what is left out."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
        elif value.numel():
            value.fill_(seed)
    return module


def snapshot(module: nn.Module) -> dict[str, tuple]:
    """Identity, bytes, strides, device, gradient flag and class of everything that a module holds."""
    out = {}
    for path, child in module.named_modules():
        for table in (child._parameters, child._buffers):
            for name, value in table.items():
                held = None
                if value is not None and not nn.parameter.is_lazy(value) and value.device.type != "meta":
                    flat = value.detach().clone().contiguous().view(-1).view(torch.uint8)
                    held = (flat.numpy().tobytes(), value.stride())
                out[f"{path}.{name}"] = (id(value), type(value), getattr(value, "requires_grad", None), held)
    return out


def assert_equal(model: nn.Module, source: nn.Module) -> None:
    wanted = source.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(value, wanted[key]), key


class Net(nn.Module):
    """A tie, a frozen-able norm with counters, a buffer that is not saved, and one without elements."""

    def __init__(self, tie: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.register_buffer("scratch", torch.arange(4.0), persistent=False)
        self.register_buffer("empty", torch.empty(0))
        if tie:
            self.head.weight = self.embed.weight


# ---- kinds of parameters and buffers ----


@both_ways
def test_frozen_parameters_stay_frozen(assign):
    """A frozen parameter gets its values and stays frozen; the others stay trainable."""
    model, source = Net(), filled(Net())
    model.embed.weight.requires_grad_(False)
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    assert not model.embed.weight.requires_grad
    assert model.norm.weight.requires_grad


@both_ways
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_mode_of_a_module_stays(assign, mode):
    """Loading leaves train and eval mode as they are."""
    model, source = getattr(Net(), mode)(), filled(Net())
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    assert {child.training for child in model.modules()} == {mode == "train"}


@both_ways
def test_memory_order_is_kept(assign):
    """Transposed and channels-last parameters keep their memory order, whatever order the source has."""
    model, source = (nn.Sequential(nn.Conv2d(2, 3, 2), nn.Linear(3, 4)) for _ in range(2))
    filled(source)
    model.to(memory_format=torch.channels_last)
    model[1].weight = nn.Parameter(torch.zeros(3, 4).T)
    strides = {key: value.stride() for key, value in model.state_dict().items()}
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    assert {key: value.stride() for key, value in model.state_dict().items()} == strides


def test_assigned_parameters_are_rows_first_after_a_transpose():
    """With assign, a transposed source gives a parameter in the order of the one it replaces, in memory of its own."""
    model = nn.Linear(3, 4, bias=False)
    weight = torch.rand(5, 4)
    Plan.of("w[0:3] -> weight : t !partial").apply(model, StateDict.of({"w": weight}), assign=True)
    assert torch.equal(model.weight, weight[:3].T)
    assert model.weight.is_contiguous()
    assert model.weight.untyped_storage().nbytes() == 3 * 4 * 4


def test_meta_models_are_materialised():
    """A model on the meta device gets memory with its values, ties and gradient flags kept."""
    with torch.device("meta"):
        model = Net()
    model.norm.weight.requires_grad_(False)
    source = filled(Net())
    report = load(model, StateDict.from_module(source))
    assert_equal(model, source)
    assert model.head.weight is model.embed.weight
    assert not model.norm.weight.requires_grad
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}
    assert any("'scratch' is in no state dict and has no values" in note for note in report.notes)


def test_a_meta_model_is_made_of_parts():
    """Parts that are all of a tensor materialise it; a part alone cannot."""
    with torch.device("meta"):
        model = nn.Linear(2, 4, bias=False)
    source = StateDict.of({"a": torch.rand(3, 2), "b": torch.rand(1, 2)})
    with pytest.raises(PlanError, match="no values yet"):
        Plan.of("a -> weight[0:3] : rest=init !partial").apply(model, source.select("a"))
    assert model.weight.device.type == "meta"
    Plan.of("a -> weight[0:3] !partial\nb -> weight[3:4] !partial").apply(model, source)
    assert torch.equal(model.weight, torch.cat(list(source.to_torch().values())))


@both_ways
def test_lazy_modules_take_the_shapes_of_the_file(assign):
    """Parameters of lazy modules take shape and values from the source, and the module runs."""
    model = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())
    source = filled(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    x = torch.rand(2, 3)
    assert torch.equal(model.eval()(x), source.eval()(x))


def test_a_live_lazy_module_is_no_source():
    """A lazy module that has not run yet has no weights to give."""
    with pytest.raises(WeightliftError, match="'weight' has no shape yet; run the lazy module once"):
        StateDict.from_module(nn.LazyLinear(4))


PARAMETRISED = {
    "weight_norm": nn.utils.parametrizations.weight_norm,
    "spectral_norm": nn.utils.parametrizations.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
    "old weight_norm": nn.utils.weight_norm,
    "old spectral_norm": nn.utils.spectral_norm,
}


@both_ways
@pytest.mark.parametrize("kind", PARAMETRISED)
def test_parametrised_modules(kind, assign):
    """Parametrised and weight-normed modules get what their weight is computed from, and compute the same."""
    model = PARAMETRISED[kind](seeded(lambda: nn.Linear(3, 4), 1))
    source = PARAMETRISED[kind](seeded(lambda: nn.Linear(3, 4), 2))
    load(model, StateDict.from_module(source), assign=assign)
    assert_equal(model, source)
    x = torch.rand(2, 3)
    assert torch.equal(model.eval()(x), source.eval()(x))


@both_ways
def test_buffers_that_are_not_saved_are_not_touched(assign):
    """Non-persistent buffers and buffers without elements stay what they are."""
    model, source = Net(), filled(Net())
    source.scratch.fill_(7)
    kept = model.scratch
    load(model, StateDict.from_module(source), assign=assign)
    assert model.scratch is kept
    assert kept.tolist() == [0, 1, 2, 3]
    assert model.empty.shape == (0,)


@both_ways
def test_ties_are_kept(assign):
    """Names that are one parameter are one parameter afterwards, and the optimizer of before holds it in place."""
    model, source = Net(), filled(Net())
    before = model.embed.weight
    load(model, StateDict.from_module(source), assign=assign)
    assert model.head.weight is model.embed.weight
    assert (model.embed.weight is before) is not assign
    assert torch.equal(model.head.weight, source.embed.weight)


@both_ways
def test_a_tie_needs_only_one_of_its_names(assign):
    """Where the target's names are one tensor, a file with one of them is enough; the report says so."""
    model, source = Net(), filled(Net())
    report = load(model, StateDict.from_module(source).drop("head.weight"), assign=assign)
    assert model.head.weight is model.embed.weight
    assert torch.equal(model.head.weight, source.embed.weight)
    assert any("'head.weight' is the same tensor" in note for note in report.notes)
    assert [line.status for line in report.lines if line.key == "head.weight"] == ["tied"]


def test_a_tied_model_of_another_type():
    """A tied half model loads a tied file of floats: casting does not part what is tied."""
    model, source = Net().half(), filled(Net())
    load(model, StateDict.from_module(source))
    assert torch.equal(model.embed.weight, source.embed.weight.half())


@both_ways
def test_copies_do_not_share_memory(assign):
    """One source copied to two parameters that are not tied gives each memory of its own."""
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    Plan.of("w -> {a,b}.weight : copy").apply(model, StateDict.of({"w": torch.rand(2, 2)}), assign=assign)
    assert torch.equal(model["a"].weight, model["b"].weight)
    assert model["a"].weight.data_ptr() != model["b"].weight.data_ptr()


def test_source_and_model_do_not_share_memory():
    """Assigned parameters are not views of a live source."""
    source, model = filled(Net()), Net()
    load(model, StateDict.from_module(source), assign=True)
    before = model.embed.weight.clone()
    with torch.no_grad():
        source.embed.weight.zero_()
    assert torch.equal(model.embed.weight, before)


def test_a_live_optimizer_is_told_about():
    """With assign, the report names live optimizers that still hold the parameters which were replaced."""
    model, source = Net(), StateDict.from_module(filled(Net()))
    optimizer = torch.optim.AdamW(model.parameters())
    assert not any("AdamW" in note for note in load(model, source).notes)
    report = load(model, source, assign=True)
    assert [note for note in report.notes if "a live AdamW still holds 3 of the parameters" in note]
    del optimizer
    gc.collect()
    assert not any("AdamW" in note for note in load(model, source, assign=True).notes)


def test_expanded_buffers_are_refused_in_place():
    """A buffer whose elements share memory is refused in place, whole, and can be assigned."""
    model = nn.Module()
    model.register_buffer("a", torch.zeros(2))
    model.register_buffer("b", torch.zeros(1).expand(3))
    source = StateDict.of({"a": torch.ones(2), "b": torch.ones(3)})
    with pytest.raises(PlanError, match="'b': an expanded tensor"):
        load(model, source)
    assert model.a.tolist() == [0, 0]
    load(model, source, assign=True)
    assert model.b.tolist() == [1, 1, 1]


# ---- element types ----


@both_ways
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_values_come_in_the_type_of_the_model(assign, dtype):
    """A model keeps its element type; values are rounded as torch rounds them, and the report says cast."""
    model, source = Net().to(dtype), filled(Net())
    report = load(model, StateDict.from_module(source), assign=assign)
    assert model.embed.weight.dtype is dtype
    assert_equal(model, source.to(dtype))
    narrows = dtype is not torch.float64
    casts = report.with_status("cast")
    assert {line.key for line in casts} >= {"embed.weight", "norm.weight"}
    assert all(("narrows" in line.note) is narrows for line in casts)


def test_overflow_is_an_error():
    """A float that would be infinite in a half model is an error that changes nothing, unless the rule allows it."""
    model = filled(nn.Linear(2, 2).half())
    source = StateDict.of({"weight": torch.tensor([[1.0, 2.0], [3.0, 1e6]]), "bias": torch.ones(2)})
    before = snapshot(model)
    with pytest.raises(OverflowingError, match=r"'weight': 1 values \(up to 1e\+06\) do not fit into float16"):
        load(model, source)
    assert snapshot(model) == before
    Plan.of("** -> ** !overflow").apply(model, source)
    assert model.weight[1, 1].isinf()
    assert model.weight[1, 0] == 3


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (torch.tensor([300, 1]), torch.int8),
        (torch.tensor([-1, 1]), torch.uint8),
        (torch.tensor([70000, 1]), torch.float16),
        (torch.tensor([float("nan"), 1]), torch.int64),
        (torch.tensor([2.0**63, 1]), torch.int64),
        (torch.tensor([1e5, 1], dtype=torch.bfloat16), torch.float16),
    ],
    ids=str,
)
def test_what_a_type_cannot_hold_is_an_error(values, dtype):
    """Integers out of range, and floats that are no integers of the type, are errors and not other numbers."""
    model = nn.Module()
    model.register_buffer("n", torch.zeros(2, dtype=dtype))
    with pytest.raises(OverflowingError, match="do not fit into"):
        Plan.of("n -> n !lossy").apply(model, {"n": values})
    assert model.n.tolist() == [0, 0]


def test_infinities_and_nans_pass():
    """Values that are infinite or no number already are no overflow."""
    model = nn.Module()
    model.register_buffer("n", torch.zeros(3, dtype=torch.float16))
    load(model, {"n": torch.tensor([float("inf"), -float("inf"), float("nan")])})
    assert model.n[:2].tolist() == [float("inf"), -float("inf")]
    assert model.n[2].isnan()


def test_complex_values_are_not_cut():
    """Complex values do not fit into a real parameter."""
    model = nn.Module()
    model.register_buffer("n", torch.zeros(2))
    with pytest.raises(LoadError, match="complex64 as float32"):
        load(model, {"n": torch.zeros(2, dtype=torch.complex64)})


# ---- all or nothing ----


class GoneError(Exception):
    """What fails in these tests."""


class FailingSource(Source):
    """Bytes that can be had until the count is used up."""

    left = 10**9

    def __init__(self, data: bytes) -> None:
        self.data, self.size, self.name = data, len(data), "failing"

    def _read(self, offset: int, nbytes: int) -> bytes:
        FailingSource.left -= 1
        if FailingSource.left < 0:
            raise GoneError
        return self.data[offset : offset + nbytes]


def failing(module: nn.Module) -> dict:
    out, made = {}, {}
    for key, value in StateDict.from_module(module).items():
        data = FailingSource(value.tobytes())
        fresh = contiguous(value.dtype, value.shape, Storage(key, data.size, data))
        out[key] = made.setdefault(value.view if value.numel else key, fresh)
    return out


def until_it_works(attempt, check) -> int:
    """Fail at the first step, the second ... until nothing fails; return how many steps there were."""
    for k in range(1000):
        try:
            attempt(k)
        except (GoneError, KeyboardInterrupt):
            check(k)
        else:
            return k
    raise AssertionError("it never works")


TARGETS = {
    "tied": Net,
    "channels last": lambda: nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last),
    "half": lambda: Net().half(),
    "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
    "lazy": lambda: nn.LazyLinear(4),
    "meta": lambda: Net().to("meta"),
}


def source_of(kind: str) -> nn.Module:
    return filled(nn.Linear(3, 4) if kind == "lazy" else Net() if kind == "meta" else TARGETS[kind](), seed=2)


@pytest.fixture(params=TARGETS)
def kind(request):
    FailingSource.left = 10**9
    yield request.param
    FailingSource.left = 10**9


@both_ways
def test_a_failure_of_any_read_changes_nothing(kind, assign):
    """Whichever read fails, the model has the bytes, the objects and the flags that it had."""
    model, source = TARGETS[kind](), failing(source_of(kind))
    before = snapshot(model)

    def attempt(k):
        FailingSource.left = k
        load(model, source, assign=assign)

    def check(k):
        assert snapshot(model) == before, k

    assert until_it_works(attempt, check) >= 2


@both_ways
@pytest.mark.parametrize("error", [GoneError, KeyboardInterrupt])
def test_a_failure_between_tensors_changes_nothing(kind, assign, error):
    """Whichever tensor the work stops before, the model is as it was."""
    model, source = TARGETS[kind](), StateDict.from_module(source_of(kind))
    before = snapshot(model)

    def attempt(k):
        left = iter(range(k))

        def step(key):
            if next(left, None) is None:
                raise error

        target = ModuleTarget(model)
        found = Plan.of("** -> **").check(source, target.schema, target.ties)
        apply_to_module(found, target, source, assign=assign, step=step)

    def check(k):
        assert snapshot(model) == before, k

    assert until_it_works(attempt, check) >= 2


@pytest.mark.parametrize("when", ["before", "halfway", "after"])
def test_a_failure_of_any_copy_changes_nothing(kind, when, monkeypatch):
    """Whichever copy fails, before, halfway or after it, the model is as it was."""
    model, source = TARGETS[kind](), StateDict.from_module(source_of(kind))
    before = snapshot(model)
    real = torch.Tensor.copy_

    def attempt(k):
        calls = iter(range(10**9))

        def copy(self, value):
            if next(calls) != k:
                return real(self, value)
            if when == "halfway" and self.dim():
                real(self[: len(self) // 2], value[: len(self) // 2])
            elif when == "after":
                real(self, value)
            raise GoneError

        monkeypatch.setattr(torch.Tensor, "copy_", copy)
        try:
            load(model, source)
        finally:
            monkeypatch.undo()

    def check(k):
        assert snapshot(model) == before, k

    assert until_it_works(attempt, check) >= (0 if kind in ("lazy", "meta") else 2)


@pytest.mark.parametrize("there", [False, True], ids=["new", "over an older one"])
def test_a_failure_of_any_read_leaves_no_file(tmp_path, there):
    """Whichever read fails, no file is left, and an older one is what it was."""
    source = failing(filled(Net(tie=False)))
    out = tmp_path / "out.safetensors"
    if there:
        out.write_bytes(b"older")

    def attempt(k):
        FailingSource.left = k
        Plan.of("** -> **").apply(out, source)

    def check(k):
        assert os.listdir(tmp_path) == (["out.safetensors"] if there else []), k
        assert not there or out.read_bytes() == b"older"

    try:
        assert until_it_works(attempt, check) >= 2
    finally:
        FailingSource.left = 10**9
    assert out.stat().st_size > 5


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "close"])
def test_a_failure_of_any_system_call_leaves_no_file(tmp_path, monkeypatch, call):
    """Whichever system call fails in writing, no file is left under any name."""
    source = StateDict.from_module(filled(Net(tie=False)))
    out = tmp_path / "out.safetensors"
    real = getattr(os, call)

    def attempt(k):
        calls = iter(range(10**9))

        def fails(*args, **named):
            if next(calls) == k:
                if call == "close":
                    real(*args)
                raise OSError(28, "No space left on device")
            return real(*args, **named)

        monkeypatch.setattr(os, call, fails)
        try:
            Plan.of("** -> **").apply(out, source)
        except WriteError as error:
            raise GoneError(str(error)) from None
        finally:
            monkeypatch.undo()

    def check(k):
        assert os.listdir(tmp_path) == [], k

    assert until_it_works(attempt, check) >= 1


def test_a_plan_with_problems_changes_nothing():
    """Problems are told before a byte is read or set."""
    model = filled(Net())
    before = snapshot(model)
    source = failing(filled(Net(), seed=3))
    FailingSource.left = 0
    try:
        with pytest.raises(PlanProblems, match=r"no 'nowhere.weight'"):
            Plan.of("embed.weight -> nowhere.weight").apply(model, source)
    finally:
        FailingSource.left = 10**9
    assert snapshot(model) == before


def test_a_file_needs_every_value(tmp_path):
    """A plan that initialises or makes a part only cannot be written to a file."""
    out = tmp_path / "out.safetensors"
    with pytest.raises(PlanProblems, match="whole or in part"):
        Plan.of("a -> b[0:2] : rest=init !partial").apply(out, StateDict.of({"a": torch.rand(2)}))
    assert not out.exists()


# ---- load ----


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
