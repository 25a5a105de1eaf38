"""Python state comes back as it was: types, order, bits and what is one object."""

from __future__ import annotations

import collections
import json
import random
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from weightlift.codec import Encoder, Record, decode

from codec_values import TYPES, VALUES, Bits, Colour, Config, Frozen, Point, as_torch, lazily, same, there_and_back


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_every_value_comes_back(value):
    """Nested values of every kind are the same after JSON text, by type and bit."""
    assert same(value, there_and_back(value, types=TYPES))


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_what_was_decoded_inert_can_be_encoded_again(value):
    """Records decoded without their classes encode to the same document."""
    encoder, again = Encoder(), Encoder()
    doc = encoder.encode(value, "meta")
    inert = decode(doc, lazily(encoder))
    held = again.encode(inert, "meta")
    again.check()
    assert same(value, decode(held, lazily(again), types=TYPES))


@pytest.mark.parametrize("bits", [0x7FF8000000000001, 0xFFF0000000000123, 0x7FF0000000000000, 0x8000000000000000])
def test_floats_keep_their_bits(bits):
    """NaN payloads, signalling or not, infinities and -0.0 come back as they were, in numpy scalars too."""
    raw = bits.to_bytes(8, "big")
    assert struct.pack(">d", there_and_back(struct.unpack(">d", raw)[0])) == raw
    number = np.frombuffer(raw, ">f8").astype("<f8")[0]
    assert there_and_back(number).tobytes() == number.tobytes()


def test_keys_that_look_alike_are_kept_apart():
    """1 and "1", None and "None", (1,) and "(1,)" stay different keys, and True stays a bool."""
    value = {1: "int", "1": "text", None: 0, "None": 1, (1,): 2, "(1,)": 3, False: "bool"}
    back = there_and_back(value)
    assert back == value
    assert [type(key) for key in back] == [type(key) for key in value]


def test_dicts_of_plain_text_are_plain_json():
    """What JSON can say is said plainly, so that a person can read it."""
    value = {"lr": 0.001, "steps": [1, 2], "name": "Zoë", "on": True, "none": None}
    assert Encoder().encode(value, "meta") == value


def test_one_object_stays_one_object():
    """A list, dict, array or tensor that is met twice is one object again."""
    inner, array, tensor = [1, [2]], np.arange(3), torch.ones(2)
    value = {"a": inner, "b": (inner, inner[1]), "c": [array, array], "d": [tensor, tensor], 1: inner}
    back = there_and_back(value)
    assert back["a"] is back["b"][0] is back[1]
    assert back["b"][1] is back["a"][1]
    assert back["c"][0] is back["c"][1]
    assert back["d"][0] is back["d"][1]


def test_equal_objects_stay_apart():
    """Two equal lists are two lists again."""
    back = there_and_back([[1], [1]])
    assert back[0] is not back[1]


def test_values_that_share_a_lot_take_little_room():
    """A tuple of itself doubled eighty times is written in as many lines, not in 2 ** 80."""
    value = ([],)
    for _ in range(80):
        value = (value, value)
    encoder = Encoder()
    doc = encoder.encode(value, "meta")
    assert len(json.dumps(doc)) < 10_000
    back = decode(doc, encoder.tensors.get)
    assert back[0][0][0] is back[1][1][1]


def test_tensors_that_share_storage_stay_aliases():
    """Views of one storage, in different values of one encoder, share a lazy storage."""
    encoder = Encoder()
    whole = torch.arange(6.0)
    encoder.add("model/weight", whole)
    encoder.encode({"view": whole[2:]}, "meta")
    encoder.check()
    assert encoder.tensors["meta/view"].storage is encoder.tensors["model/weight"].storage


def test_tensors_are_named_by_their_place():
    """The name of a tensor is its path; two that would have one name get two."""
    encoder = Encoder()
    encoder.encode({"a": [torch.ones(1)], 1: torch.ones(1), "1": torch.zeros(1), "x/y": torch.ones(1)}, "meta")
    assert list(encoder.tensors) == ["meta/a/0", "meta/1", "meta/1~2", "meta/x/y"]


def test_channels_last_keeps_its_stride():
    """The stride of a dense tensor that is not rows first is handed to whoever loads it."""
    images = torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)
    encoder = Encoder()
    doc = encoder.encode([images, torch.ones(2, 3)[:, ::2]], "meta")
    asked = []
    decode(doc, lambda _, stride: asked.append(stride))
    assert asked == [images.stride(), None]


def test_torch_tensors_take_their_role():
    """A parameter is a parameter again, frozen or not, when torch tensors are put in place."""
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    value = [torch.nn.Parameter(torch.ones(2)), frozen, torch.ones(2, requires_grad=True), torch.ones(2)]
    encoder = Encoder()
    back = decode(encoder.encode(value, "meta"), as_torch(encoder))
    assert [type(item) for item in back] == [type(item) for item in value]
    assert [item.requires_grad for item in back] == [True, False, True, False]


@pytest.mark.parametrize("code", ["<f4", ">i2", "bfloat16", "float8_e5m2", "?"])
def test_arrays_come_back_from_torch_tensors(code):
    """An array is an array of the same dtype and bits whether its tensor is read lazily or by torch."""
    import ml_dtypes

    dtype = np.dtype(getattr(ml_dtypes, code, None) or code)
    array = np.arange(6).reshape(2, 3).astype(dtype)
    encoder = Encoder()
    doc = encoder.encode({"a": array}, "meta")
    assert same(array, decode(doc, as_torch(encoder))["a"])
    assert same(array, decode(doc, lazily(encoder))["a"])


def test_random_states_come_back_and_are_small():
    """The states of random and numpy generators continue the same sequence; 625 integers are one packed run."""
    generator, there = random.Random(1), np.random.default_rng(2)
    state = {
        "python": generator.getstate(),
        "numpy": np.random.RandomState(3).get_state(),
        "pcg": there.bit_generator.state,
    }
    encoder = Encoder()
    doc = encoder.encode(state, "rng")
    assert len(json.dumps(doc)) < 4000
    back = decode(doc, lazily(encoder))
    other = random.Random(0)
    other.setstate(back["python"])
    assert other.random() == generator.random()
    legacy = np.random.RandomState(0)
    legacy.set_state(back["numpy"])
    assert legacy.random() == np.random.RandomState(3).random()
    pcg = np.random.default_rng(0)
    pcg.bit_generator.state = back["pcg"]
    assert pcg.random() == there.random()


@pytest.mark.parametrize("kind", [bytes, bytearray, list, lambda raw: tuple(map(float, raw))])
def test_long_runs_of_bytes_and_numbers_are_tensors(kind):
    """What would be long in JSON lies beside the tensors, and comes back from lazy and torch tensors."""
    value = kind(random.Random(0).randbytes(80_000))
    encoder = Encoder()
    doc = encoder.encode({"a": value}, "meta")
    assert len(json.dumps(doc)) < 200
    assert same(value, decode(doc, lazily(encoder))["a"])
    assert same(value, decode(doc, as_torch(encoder))["a"])


def test_sets_of_text_are_the_same_in_every_process():
    """Sets of text or integers are sorted; their order in memory is random."""
    assert Encoder().encode({"b", "a", "c"}, "meta") == {"$set": ["a", "b", "c"]}


def test_attributes_of_an_ordered_dict_stay():
    """What hangs on a state dict (its `_metadata`) comes back with it."""
    value = collections.OrderedDict(weight=1)
    value._metadata = {"": {"version": 2}}
    assert there_and_back(value)._metadata == {"": {"version": 2}}


def test_records_are_inert_without_their_class():
    """A dataclass, enum member, namedtuple and namespace come as records that tell their class and fields."""
    back = there_and_back([Config(0.1), Colour.BLUE, Point(1, 2), Frozen("a")])
    assert all(type(record) is Record for record in back)
    assert [record.record_kind for record in back] == ["dataclass", "enum", "namedtuple", "dataclass"]
    assert (back[0].rate, back[1].name, back[1].value, back[2].y) == (0.1, "BLUE", "b", 2)
    assert repr(back[0]) == "<record codec_values.Config(rate=0.1, layers=[])>"
    assert vars(back[3]) == {"a": "a"}


def test_records_become_the_classes_that_are_handed_in():
    """Only the classes that the caller names are made, by module and qualified name."""
    config, colour = there_and_back([Config(0.1), Colour.RED], types=[Config])
    assert config == Config(0.1)
    assert type(colour) is Record
    assert there_and_back([Bits.A | Bits.B], types=[Bits]) == [Bits.A | Bits.B]


def test_attributes_beside_the_fields_stay():
    """What a program hangs on a dataclass instance beside its fields comes back, through a record too."""
    config = Config(1)
    config.seen = [2]
    assert there_and_back(config, types=[Config]).seen == [2]
    assert there_and_back(there_and_back(config), types=[Config]).seen == [2]


def test_a_field_that_was_added_takes_its_default():
    """A class that got a field with a default since is still made; its own code is not run."""
    doc = {"$record": ["codec_values", "Config"], "kind": "dataclass", "fields": {"rate": 1}}
    assert decode(doc, {}.__getitem__, types=[Config]) == Config(1, [])
