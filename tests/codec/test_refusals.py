"""What cannot be written without pickle is refused with its path and what to do instead."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import io
import math
import random
import threading
from typing import Any

import numpy as np
import pytest
import torch

from weightlift.codec import Encoder
from weightlift.errors import UnsupportedError

from codec_values import Config


class Number(int):
    """A subclass of int."""


class Text(str):
    """A subclass of str."""

    __slots__ = ()


class Mapping(dict):
    """A subclass of dict."""


class Items(list):
    """A subclass of list."""


class Plain:
    """An object with attributes."""


class Trainer:
    """An object with a state dict."""

    def state_dict(self):
        """Nothing."""


@dataclasses.dataclass
class Output(collections.OrderedDict):
    """A dataclass that is a dict as well."""

    a: Any = 1


@dataclasses.dataclass
class FailedError(Exception):
    """A dataclass that is an exception as well."""

    a: Any = 1


def _cycle():
    held: list = [1]
    held.append({"back": held})
    return held


def _deep():
    value: list = []
    for _ in range(200):
        value = [value]
    return value


REFUSED = {
    "function": (lambda: 0, "is a function", "save its name"),
    "builtin": (len, "is a function", "save its name"),
    "partial": (functools.partial(len, []), "is a function", "save its name"),
    "method": ([].append, "is a function", "save its name"),
    "class": (Plain, "is a class", "save its name"),
    "generator": ((i for i in ()), "is a generator", "how far"),
    "iterator": (iter([]), "is an iterator", "how far"),
    "lock": (threading.Lock(), "is a lock", "make a new one"),
    "condition": (threading.Condition(), "is a lock", "make a new one"),
    "module": (math, "is a module", "save its name"),
    "file": (io.StringIO(), "is an open file", "path and position"),
    "random": (random.Random(), "is a random generator", "getstate()"),
    "numpy_generator": (np.random.default_rng(), "is a random generator", "bit_generator.state"),
    "numpy_state": (np.random.RandomState(0), "is a random generator", "get_state()"),
    "torch_generator": (torch.Generator(), "is a random generator", "get_state()"),
    "nn": (torch.nn.Linear(1, 1), "is a module of torch", "part of its own"),
    "storage": (torch.ones(1).untyped_storage(), "is a storage", "save a tensor"),
    "meta": (torch.empty(2, device="meta"), "without data", "give it data"),
    "object_array": (np.array([object()]), "array of Python objects", "as a list"),
    "structured": (np.zeros(1, [("a", "i4")]), "is an array of", "each field"),
    "longdouble": (np.zeros(1, np.longdouble), "is an array of", "cast"),
    "matrix": (np.ma.zeros(2), "subclass of an array", "numpy.asarray"),
    "void": (np.zeros(1, [("a", "i4")])[0], "numpy scalar", "Python value"),
    "int": (Number(3), "a subclass of int", "int(...)"),
    "str": (Text("a"), "a subclass of str", "str(...)"),
    "version": (torch.__version__, "a subclass of str", "str(...)"),
    "dict": (Mapping(), "a subclass of dict", "dict(...)"),
    "list": (Items(), "a subclass of list", "list(...)"),
    "return_type": (torch.ones(2).max(0), "a subclass of tuple", "tuple(...)"),
    "output": (Output(), "a subclass of dict", "dict(...)"),
    "exception": (FailedError(), "is an object of", "dataclass"),
    "object": (Plain(), "is an object of", "dataclass"),
    "stateful": (Trainer(), "is an object of", "state_dict()"),
    "view": (memoryview(b""), "a view of memory", "bytes(...)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_is_refused_with_its_path(name):
    """The refusal names the place as Python spells it, what is there and the remedy; the rest is not affected."""
    value, found, remedy = REFUSED[name]
    encoder = Encoder()
    encoder.encode({"kept": 1, name: value}, "meta")
    [refusal] = encoder.refusals
    assert refusal.place == f"meta['{name}']"
    assert found in refusal.found
    assert remedy in refusal.remedy


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, (2, len)]}, "meta['a'][1][1]"),
        (Config(1, {"x": len}), "meta.layers['x']"),
        ({(1, len): 2}, "meta[(1, <built-in function len>)][1]"),
        (_cycle(), "meta[1]['back']"),
        (collections.defaultdict(lambda: 0), "meta.default_factory"),
        (slice(1, len), "meta.stop"),
        ({1: len}, "meta[1]"),
    ],
)
def test_paths_go_through_every_container(value, place):
    """Keys stand in brackets as they are, positions as numbers, attributes after a dot."""
    encoder = Encoder()
    encoder.encode(value, "meta")
    assert [refusal.place for refusal in encoder.refusals] == [place]


def test_all_refusals_are_said_at_once():
    """One error names the first twenty and counts the rest; nothing is raised before."""
    encoder = Encoder()
    encoder.encode([len] * 23, "meta")
    encoder.encode({"fn": len}, "more")
    with pytest.raises(UnsupportedError, match=r"24 values cannot be saved without pickle: meta\[0\] is a function"):
        encoder.check()
    with pytest.raises(UnsupportedError, match=r"meta\[19\] .*; and 4 more"):
        encoder.check()


def test_nothing_refused_is_no_error():
    """Where all can be written, check says nothing."""
    encoder = Encoder()
    encoder.encode({"a": 1}, "meta")
    encoder.check()
    assert encoder.refusals == []


def test_what_is_too_deep_is_refused():
    """Nesting beyond what JSON readers follow is refused where it gets too deep."""
    encoder = Encoder()
    encoder.encode(_deep(), "meta")
    assert ["nested deeper than 100" in refusal.found for refusal in encoder.refusals] == [True]


def test_too_little_stack_is_refused():
    """Where the program itself is nearly at Python's limit, that is a refusal, and the encoder works on."""
    encoder = Encoder()
    nested: list = []
    for _ in range(90):
        nested = [nested]

    def deep(left):
        if left:
            deep(left - 1)
        else:
            encoder.encode(nested, "meta")

    with contextlib.suppress(RecursionError):
        for left in range(700, 2000, 20):
            deep(left)
            if encoder.refusals:
                break
    assert "than Python can follow" in encoder.refusals[0].found
    assert encoder.encode(nested, "meta") == nested


def test_a_refused_value_that_is_met_twice_is_no_error():
    """A container that holds something refused can still be referred to."""
    held = [len]
    encoder = Encoder()
    encoder.encode([held, held], "meta")
    assert [refusal.place for refusal in encoder.refusals] == ["meta[0][0]"]


def test_a_name_for_two_tensors_is_refused():
    """Two tensors that are to be entered under one name are refused."""
    encoder = Encoder()
    encoder.add("model/a", torch.ones(1))
    encoder.add("model/a", torch.ones(1))
    assert [str(refusal) for refusal in encoder.refusals] == ["model/a is the name of two tensors (rename one of them)"]


def test_a_class_that_bears_a_known_name_is_not_taken_for_it():
    """A class called decimal.Decimal that is not Python's is an object like any other."""
    fake = type("Decimal", (), {"__module__": "decimal"})
    encoder = Encoder()
    encoder.encode(fake(), "meta")
    assert "is an object of decimal.Decimal" in encoder.refusals[0].found
