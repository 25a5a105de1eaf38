"""State dicts as values: every operation gives a new one, lazily, in order, with the modules' versions."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import weightlift as wl
from weightlift.dtypes import DTYPES
from weightlift.errors import CollisionError, OverflowingError, StateDictError, TensorError, UnsupportedError
from weightlift.sources import Source
from weightlift.state_dict import StateDict
from weightlift.tensors.lazy import Storage, contiguous


class Unread(Source):
    """Bytes that nobody may read."""

    name = "unread"

    def __init__(self, nbytes: int) -> None:
        self.size = nbytes

    def _read(self, offset: int, nbytes: int) -> bytes:
        raise AssertionError(f"a byte was read: {nbytes} at {offset}")


def unread(*names: str, dtype: str = "float32") -> StateDict:
    """A state dict that fails when a value is read."""
    return StateDict(
        {name: contiguous(DTYPES[dtype], (2, 2), Storage(name, 32, Unread(32))) for name in names},
        name="unread",
        versions={"": {"version": 1}, "h": {"version": 2}, "h.0": {"version": 3}, "h.0.norm": {"version": 4}},
    )


def some() -> StateDict:
    return unread("h.0.norm.weight", "h.0.norm.bias", "h.0.fc.weight", "head.weight")


# ---- names ----


def test_select_and_drop_keep_the_order():
    """select keeps what fits any pattern, drop the rest, both in the order of the state dict."""
    sd = some()
    assert list(sd.select("head.**", "h.{i}.norm.*")) == ["h.0.norm.weight", "h.0.norm.bias", "head.weight"]
    assert list(sd.drop("head.**", "h.{i}.norm.*")) == ["h.0.fc.weight"]
    assert [*sd.select("h.**"), *sd.drop("h.**")] == list(sd)
    assert list(sd) == ["h.0.norm.weight", "h.0.norm.bias", "h.0.fc.weight", "head.weight"]


@pytest.mark.parametrize("call", ["select", "drop"])
def test_a_pattern_that_fits_no_name(call):
    """A pattern that fits nothing is a mistake, and not an empty choice."""
    with pytest.raises(StateDictError, match=r"pattern 'nothing.\*\*' fits no name"):
        getattr(some(), call)("h.**", "nothing.**")


def test_rename():
    """rename spells what fits by another pattern, in place, and leaves the rest."""
    made = some().rename("h.{i}.norm.{t}", "layers.{2*i+1}.ln.{t}")
    assert list(made) == ["layers.1.ln.weight", "layers.1.ln.bias", "h.0.fc.weight", "head.weight"]
    assert made["layers.1.ln.bias"].storage.key == "h.0.norm.bias"


def test_rename_onto_another_name():
    """A rename that would overwrite another name is an error that names both."""
    with pytest.raises(CollisionError, match=r"'a.w' and 'b.w' would both be called 'b.w'"):
        unread("a.w", "b.w").rename("a.{t}", "b.{t}")
    with pytest.raises(CollisionError, match=r"'a.x' and 'a.y' would both be called 'one'"):
        unread("a.x", "a.y").rename("a.{x,y}", "one")


def test_rename_can_swap():
    """One rename moves all names at once, so two names can be swapped."""
    made = unread("a.0", "a.1").rename("a.{0,1}", "a.{1,0}")
    assert [made[key].storage.key for key in ("a.0", "a.1")] == ["a.1", "a.0"]


def test_prefixes():
    """add_prefix and strip_prefix undo each other; a name without the prefix is told."""
    sd = some()
    added = sd.add_prefix("module.")
    assert all(key.startswith("module.") for key in added)
    assert list(added.strip_prefix("module.")) == list(sd)
    with pytest.raises(StateDictError, match=r"'head.weight' does not begin with 'h.'; select\('h.\*\*'\) first"):
        sd.strip_prefix("h.")
    assert next(iter(sd.select("h.**").strip_prefix("h.0."))) == "norm.weight"


def test_merge():
    """merge joins several in order, and takes mappings of tensors too."""
    made = unread("a").merge(unread("b"), {"c": torch.ones(1)}, {"d": np.ones(1)})
    assert list(made) == ["a", "b", "c", "d"]
    assert made["c"].numpy().tolist() == made["d"].numpy().tolist() == [1.0]


def test_merge_of_one_name_twice():
    """A name that two of them have is an error that names both, and what to do."""
    with pytest.raises(CollisionError, match=r"'a' is in unread and in other; add_prefix or drop one of them"):
        unread("a").merge(StateDict.of({"a": torch.ones(1)}, name="other"))
    with pytest.raises(CollisionError, match=r"'b' is in unread and in the 3th"):
        unread("a").merge(unread("b"), {"b": torch.ones(1)})


def test_it_does_not_change():
    """A state dict is not assigned to; what is made of it is another one."""
    sd = some()
    with pytest.raises(TypeError):
        sd["a"] = 1
    before = dict(sd)
    sd.drop("head.**"), sd.add_prefix("x."), sd.cast("float16")
    assert dict(sd) == before


def test_a_name_that_is_not_there():
    """A key that is not there suggests the nearest."""
    with pytest.raises(KeyError, match=r"no key 'head.wieght'; did you mean 'head.weight'"):
        some()["head.wieght"]


# ---- values ----


def test_every_operation_is_lazy():
    """No operation reads a byte: they are done on a state dict whose bytes cannot be read."""
    sd = some()
    made = sd.select("h.**").drop("h.0.fc.**").rename("h.{i}.**", "g.{i}.**").add_prefix("m.").strip_prefix("m.")
    made = made.merge(unread("x")).cast("float16")
    assert [(key, value.dtype.name) for key, value in made.items()] == [
        ("g.0.norm.weight", "float16"), ("g.0.norm.bias", "float16"), ("x", "float16"),
    ]  # fmt: skip
    assert made.nbytes == 3 * 8
    assert made.numel == 12
    assert made.ties == []
    made.check()
    assert list(made.tensors) == list(made)
    with pytest.raises(AssertionError, match="a byte was read"):
        made["x"].numpy()


def test_cast():
    """cast changes floating point tensors only, rounds as torch does, and keeps ties."""
    weight = torch.tensor([1.1, -2.7])
    sd = StateDict.of({"a": weight, "b": weight, "n": torch.tensor([3]), "f": torch.tensor([True])})
    made = sd.cast("bfloat16")
    assert [str(value.dtype) for value in made.values()] == ["bfloat16", "bfloat16", "int64", "bool"]
    assert made.ties == [("a", "b")]
    out = made.to_torch()
    assert torch.equal(out["a"], weight.bfloat16())
    assert out["a"] is out["b"]
    with pytest.raises(TensorError, match="float33"):
        sd.cast("float33")


def test_cast_overflows():
    """A value that becomes infinite is told by its name when it is read, or allowed."""
    sd = StateDict.of({"ok": torch.ones(1), "big": torch.tensor([1e30])})
    with pytest.raises(OverflowingError, match=r"'big': 1 values \(up to 1e\+30\) do not fit into float16"):
        sd.cast("float16").to_numpy()
    assert sd.cast("float16", overflow=True).to_numpy()["big"].tolist() == [float("inf")]


def test_equals_is_exact():
    """Without a tolerance bytes are compared: a NaN equals itself, 0.0 and -0.0 differ, order does not matter."""
    a = {"w": torch.tensor([float("nan"), 0.0]), "n": torch.tensor([1])}
    sd = StateDict.of(a)
    assert sd.equals({key: value.clone() for key, value in reversed(a.items())})
    assert not sd.equals(a | {"w": torch.tensor([float("nan"), -0.0])})
    assert not sd.equals(a | {"w": torch.tensor([float("nan"), 1e-45])})


def test_equals_by_tolerance():
    """A tolerance is relative to the largest value of a tensor; None takes what rounding in its type explains."""
    values = torch.tensor([100.0, 1.0])
    sd = StateDict.of({"w": values})
    assert sd.equals({"w": values + 0.09}, tolerance=1e-3)
    assert not sd.equals({"w": values + 0.11}, tolerance=1e-3)
    assert sd.equals({"w": values * (1 + 2e-7)}, tolerance=None)
    assert not sd.equals({"w": values * (1 + 2e-6)}, tolerance=None)
    half = StateDict.of({"w": values.bfloat16()})
    assert half.equals({"w": (values * 1.01).bfloat16()}, tolerance=None)


@pytest.mark.parametrize("tolerance", [0.0, 0.5, None])
def test_infinities_are_compared(tolerance):
    """Equal infinities are equal, others and NaNs are not, whatever the tolerance."""
    inf = float("inf")
    sd = StateDict.of({"w": torch.tensor([inf, 1.0])})
    assert sd.equals({"w": torch.tensor([inf, 1.0])}, tolerance=tolerance)
    for other in (-inf, float("nan"), 1.0):
        assert not sd.equals({"w": torch.tensor([other, 1.0])}, tolerance=tolerance), other


def test_diff_names_what_differs():
    """diff tells the kind of each difference, what each side has, and how far values are apart."""
    here = {
        "same": torch.ones(2),
        "shape": torch.ones(2),
        "dtype": torch.ones(2),
        "values": torch.ones(2),
        "mine": torch.ones(1),
    }
    there = {
        "yours": torch.ones(3), "values": torch.tensor([1.0, 3.5]), "dtype": torch.ones(2).half(),
        "shape": torch.ones(3),
        "same": torch.ones(2),
    }  # fmt: skip
    found = StateDict.of(here).diff(there)
    assert [(d.key, d.kind) for d in found] == [
        ("shape", "shape"), ("dtype", "dtype"), ("values", "values"), ("mine", "only here"), ("yours", "only there"),
    ]  # fmt: skip
    assert (found[0].here, found[0].there) == ("float32 [2]", "float32 [3]")
    assert found[2].largest == 2.5


def test_diff_of_headers_reads_nothing():
    """What differs in name, shape or type, and what is the same view, is told without reading."""
    sd = some()
    assert [d.kind for d in sd.diff(unread(*sd, dtype="float16"))] == ["dtype"] * 4
    assert sd.diff(sd) == []
    assert sd.equals(sd.drop("head.**").merge(sd.select("head.**")))


# ---- from and to ----


def test_of_keeps_aliases():
    """Tensors that share memory share it here; nothing is copied, so a later change is seen."""
    base = torch.arange(6.0)
    sd = StateDict.of({"a": base, "b": base.view(2, 3), "c": base[2:], "d": base})
    assert sd.ties == [("a", "d")]
    assert {value.storage.nbytes for value in sd.values()} == {24}
    assert len({id(value.storage) for value in sd.values()}) == 1
    base[0] = 9
    assert sd["b"].numpy()[0, 0] == 9
    out = sd.to_torch()
    assert out["a"].untyped_storage().data_ptr() == out["c"].untyped_storage().data_ptr()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f4").reshape(2, 3), np.arange(6, dtype="<i2")[::2], np.float32(2.5), np.ones((0, 3)),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array([True, False]), np.array([1 + 2j]),
    ],
    ids=["big-endian", "stepped", "scalar", "empty", "columns first", "bool", "complex"],
)  # fmt: skip
def test_of_takes_arrays(array):
    """numpy arrays of any byte order and strides are taken by their values."""
    value = StateDict.of({"a": array})["a"]
    assert value.shape == np.shape(array)
    assert np.array_equal(value.numpy(), array)


def test_of_takes_no_other_things():
    """What is neither tensor nor data is refused by its name."""
    with pytest.raises(UnsupportedError, match="'x' is <object object"):
        StateDict.of({"x": object()})
    with pytest.raises(UnsupportedError, match=r"'x' is a masked array; give its .data and its .mask"):
        StateDict.of({"x": np.ma.masked_array([1, 2], mask=[True, False])})
    with pytest.raises(UnsupportedError, match="'x' is an array of <U1"):
        StateDict.of({"x": np.array(["a"])})


def test_from_module():
    """from_module gives the names, values, ties and versions of the module's own state dict."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[2].weight = model[0].weight
    sd, own = StateDict.from_module(model), model.state_dict()
    assert list(sd) == list(own)
    assert sd.equals(own)
    assert sd.versions == own._metadata
    assert sd.ties == [("0.weight", "2.weight")]
    assert sd["0.weight"].role == "parameter"
    assert sd["0.weight"].requires_grad
    assert not sd["1.running_mean"].requires_grad


def test_from_modules():
    """from_modules gives several modules under their names, with shared weights shared and each one's versions."""
    encoder, decoder = nn.Sequential(nn.Linear(2, 2)), nn.BatchNorm1d(2)
    shared = nn.Linear(2, 2)
    shared.weight = encoder[0].weight
    sd = StateDict.from_modules(encoder=encoder, decoder=decoder, shared=shared)
    whole = nn.ModuleDict({"encoder": encoder, "decoder": decoder, "shared": shared})
    assert list(sd) == list(whole.state_dict())
    assert sd.ties == [("encoder.0.weight", "shared.weight")]
    assert {**sd.versions, "": {"version": 1}} == dict(whole.state_dict()._metadata)
    whole.load_state_dict(sd.to_torch())


def test_a_module_on_meta_keeps_its_ties():
    """A model without memory has shapes and ties."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    sd = StateDict.from_module(model)
    assert sd.ties == [("0.weight", "1.weight")]
    assert sd["0.weight"].absent == "meta"


def test_to_torch_fits_load_state_dict():
    """to_torch gives what load_state_dict takes, `_metadata` with it."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    out = StateDict.from_module(model).to_torch()
    assert isinstance(out, OrderedDict)
    assert out._metadata == model.state_dict()._metadata
    nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).load_state_dict(out)


def test_to_numpy():
    """to_numpy gives arrays of the same types; what is no array is told by its name."""
    arrays = StateDict.of({"a": torch.ones(2).bfloat16(), "b": torch.ones(1, 2)}).to_numpy()
    assert [(array.dtype.name, array.shape) for array in arrays.values()] == [("bfloat16", (2,)), ("float32", (1, 2))]
    with pytest.raises(UnsupportedError, match=r"'x' is \{'calls': 3\}; expected a tensor; drop it first"):
        StateDict.of({"x": {"calls": 3}}).to_numpy()


def test_save_and_open(tmp_path):
    """What is saved and opened again has the same names in order, values, ties and versions."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    model[2].weight = model[0].weight
    sd = StateDict.from_module(model).cast("float16")
    written = sd.save(tmp_path / "m.safetensors")
    assert written.ties == {"2.weight": "0.weight"}
    again = wl.open(tmp_path / "m.safetensors").state_dict()
    assert list(again) == list(sd)
    assert again.equals(sd)
    assert again.ties == [("0.weight", "2.weight")]
    assert again.versions == sd.versions
    with pytest.raises(StateDictError, match="the state dict is empty"):
        StateDict({}).save(tmp_path / "n.safetensors")


# ---- versions ----


def test_versions_survive():
    """select, drop and cast keep the versions of modules."""
    sd = some()
    for made in (sd.select("h.**"), sd.drop("head.**"), sd.cast("float16"), sd.merge({"x": torch.ones(1)})):
        assert made.versions == sd.versions


def test_versions_move_with_names():
    """Prefixes and renames move the versions to the modules' new paths, those without tensors too."""
    sd = some()
    moved = sd.add_prefix("m.")
    assert moved.versions == {
        "m": {"version": 1},
        "m.h": {"version": 2},
        "m.h.0": {"version": 3},
        "m.h.0.norm": {"version": 4},
    }
    assert moved.strip_prefix("m.").versions == sd.versions
    renamed = sd.rename("h.{i}.**", "layers.{i}.**").versions
    assert renamed["layers.0.norm"] == {"version": 4}
    assert renamed["layers"] == {"version": 2}
    assert renamed[""] == {"version": 1}
    assert not any(path.startswith("h") for path in renamed)


def test_a_batch_norm_under_a_prefix_keeps_its_counter():
    """torch takes a BatchNorm without its version for an old one; under a prefix it is still a new one."""
    inner = nn.BatchNorm1d(2)
    inner.num_batches_tracked.fill_(7)
    out = StateDict.from_module(inner).add_prefix("norm.").drop("norm.num_batches_tracked").to_torch()
    outer = nn.ModuleDict({"norm": nn.BatchNorm1d(2)})
    assert outer.load_state_dict(out, strict=False).missing_keys == ["norm.num_batches_tracked"]


def test_merge_joins_versions():
    """The versions of all that are merged are kept."""
    a, b = (StateDict.from_module(nn.BatchNorm1d(2)).add_prefix(p) for p in ("a.", "b."))
    assert a.merge(b).versions == {"a": {"version": 2}, "b": {"version": 2}}
