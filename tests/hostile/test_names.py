"""Names of any kind come through unharmed or are refused aloud, and nothing that is shown can harm a terminal."""

from __future__ import annotations

import json
from collections import OrderedDict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import weightlift as wl
from weightlift.differences import differences
from weightlift.errors import UnsupportedError, WeightliftError, printable, shown
from weightlift.faces.as_json import inspection_json
from weightlift.faces.text import render_inspection
from weightlift.state_dict import StateDict

from builders import FOUR_FLOATS, dict_of, pickled, tensor, torch_zip

ODD = ["a.b", "a", "", ".", "a -> b", "__metadata__", "weightlift", "format", "1", "\0", "\u202e", "\x1b[2J",
       "{i}", "**", "\ud800", "\n", "x\r", "\u200b", "[0]", "#", "=>", '"', "\\", "init", "drop"]  # fmt: skip
NAMES = st.one_of(st.sampled_from(ODD), st.text(st.characters(), max_size=12), st.text(max_size=3).map("a.{}".format))
KEYS = st.lists(NAMES, min_size=1, max_size=6, unique=True)
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def opened(write, keys) -> wl.Checkpoint:
    return wl.open(write(torch_zip(pickled(dict_of(*((key, tensor()) for key in keys))))))


@QUIET
@given(keys=KEYS)
def test_names_are_shown_harmlessly_and_told_exactly(write, keys):
    """Text shows only what is printable, JSON tells each name as it is."""
    path = write(torch_zip(pickled(dict_of(*((key, tensor()) for key in keys)))))
    found = wl.inspect(path)
    for every in (False, True):
        assert all(line.isprintable() for line in render_inspection(found, width=80, every_tensor=every).split("\n"))
    told = json.loads(inspection_json(found).encode())
    assert [entry["key"] for entry in told["state_dicts"][0]["entries"]] == keys


@QUIET
@given(keys=KEYS)
def test_names_are_written_unharmed_or_refused(write, tmp_path, keys):
    """What extract writes is read back under the same names; what it cannot write it refuses by name."""
    path = write(torch_zip(pickled(dict_of(*((key, tensor()) for key in keys)))))
    out = tmp_path / "out.safetensors"
    refused = None
    try:
        wl.extract(path, out)
    except UnsupportedError as error:
        refused = str(error)
    if refused is not None:
        assert refused.isprintable()
        assert "'__metadata__', which safetensors" in refused or "lone surrogate" in refused
    else:
        back = wl.open(out).state_dict()
        assert {key: value.tobytes() for key, value in back.items()} == dict.fromkeys(keys, FOUR_FLOATS)


@settings(QUIET, max_examples=40)
@given(keys=KEYS)
def test_names_reach_torch_and_plans_unharmed(write, keys):
    """torch is handed the very names, and a plan of a state dict onto itself is whole or refused aloud."""
    pytest.importorskip("torch")
    weights = opened(write, keys).state_dict()
    assert list(weights.to_torch()) == keys
    try:
        said = str(wl.plan(weights, weights))
    except WeightliftError as error:
        said = f"{type(error).__name__}: {error}"
    assert all(printable(line).isprintable() for line in said.split("\n"))


@QUIET
@given(text=st.text(st.characters(), max_size=40))
def test_messages_are_printable(text):
    """An error about any name can be put on a terminal."""
    assert str(WeightliftError(f"no {text}", expected=text, remedy=text, where=text)).isprintable()


def doubled(leaf, made=lambda held: [held, held]):
    for _ in range(64):
        leaf = made(leaf)
    return leaf


@pytest.mark.parametrize("made", [lambda x: [x, x], lambda x: (x, x), lambda x: {"a": x, "b": x}])
def test_sixty_four_doublings_are_sixty_four_values(made):
    """What shares its parts is walked, compared, shown and handed to torch by identity."""
    pytest.importorskip("torch")
    one, two, other = (doubled(leaf, made) for leaf in (1, 1, 2))
    assert differences({"_extra_state": one}, {"_extra_state": two}, 0.0) == []
    (found,) = differences({"_extra_state": one}, {"_extra_state": other}, 0.0)
    assert found.kind == "other"
    assert len(found.here) <= 60
    assert len(shown(one)) <= 80
    held = StateDict(OrderedDict(_extra_state=one)).to_torch()["_extra_state"]
    assert type(held) is type(one)
