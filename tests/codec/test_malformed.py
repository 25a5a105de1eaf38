"""Whatever a document holds, decoding gives a value or one of our errors with its path; it imports nothing."""

from __future__ import annotations

import copy
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from weightlift.codec import Encoder, decode
from weightlift.codec.kinds import BY_TAG
from weightlift.errors import LimitError, MalformedError, WeightliftError
from weightlift.limits import Limits

from codec_values import TYPES, Config, Point

CASES = int(os.environ.get("WEIGHTLIFT_CASES", "3000"))

TENSORS = {"a": torch.ones(2), "raw": torch.zeros(8, dtype=torch.uint8)}

MALFORMED = {
    "two_tags": ({"$tuple": [], "$set": []}, "in one object"),
    "unknown": ({"$python": 1}, r"the kind '\$python'"),
    "beside": ({"$tuple": [], "x": 1}, r"'x' beside \$tuple"),
    "same": ({"$same": 0}, "shared value 0"),
    "cycle": ({"$shared": 0, "is": [{"$same": 0}]}, "shared value 0"),
    "shared_atom": ({"$shared": 0, "is": 1}, "a shared value"),
    "shared_twice": ([{"$shared": 0, "is": []}, {"$shared": 0, "is": []}], "a shared value"),
    "int": ({"$int": "12"}, "hexadecimal"),
    "int_number": ({"$int": 12}, "expected a text"),
    "int_underscore": ({"$int": "0x1_0"}, "hexadecimal"),
    "float": ({"$float": "00"}, "16 of them"),
    "float_digits": ({"$float": "z" * 16}, "describes no value"),
    "nan": (float("nan"), "a finite one"),
    "bytes": ({"$bytes": "a"}, "describes no value"),
    "bytes_name": ({"$bytes": {"tensor": "a"}}, "one row of bytes"),
    "text": ({"$text": "/w=="}, "describes no value"),
    "complex": ({"$complex": [1, 2]}, "two floats"),
    "packed": ({"$packed": "AA==", "type": "u9"}, "numbers packed as"),
    "packed_width": ({"$packed": "AA==", "type": "u2"}, "describes no value"),
    "twice": ({"$dict": [[1, 2], [1, 3]]}, "the key 1 twice"),
    "pair": ({"$dict": [[1]]}, "a key and a value"),
    "unhashable": ({"$dict": [[[], 1]]}, "unhashable"),
    "set_unhashable": ({"$set": [[]]}, "unhashable"),
    "set_twice": ({"$set": [1, 1]}, "twice"),
    "deque": ({"$deque": [1, 2], "maxlen": 1}, "maxlen"),
    "factory": ({"$defaultdict": {}, "factory": "eval"}, "the factory 'eval'"),
    "range": ({"$range": [0, 1, 0]}, "must not be zero"),
    "slice": ({"$slice": [1]}, "a slice of 1 parts"),
    "decimal": ({"$decimal": "x"}, "describes no value"),
    "fraction": ({"$fraction": [1, 0]}, "describes no value"),
    "uuid": ({"$uuid": "x"}, "describes no value"),
    "path": ({"$path": "x", "class": "object"}, "of class 'object'"),
    "date": ({"$date": "x"}, "describes no value"),
    "zoned": ({"$datetime": "2020-01-01T00:00+01:00"}, "its zone beside it"),
    "fold": ({"$datetime": "2020-01-01T00:00", "fold": 2}, "0 or 1"),
    "tzinfo": ({"$datetime": "2020-01-01T00:00", "zone": 1}, "describes no value"),
    "zone": ({"$zone": "../../etc/passwd"}, "a name of the time zone database"),
    "zone_unknown": ({"$zone": "os/path"}, "one that this machine knows"),
    "torch": ({"$torch": "load"}, r"torch\.'load'"),
    "device": ({"$device": "nowhere:1"}, "one that torch knows"),
    "size": ({"$size": [1 << 70]}, "64 bits"),
    "tensor": ({"$tensor": "b"}, "no tensor is called 'b'"),
    "tensor_name": ({"$tensor": 1}, "a text"),
    "stride": ({"$tensor": "a", "stride": [-1]}, "integers of 0 or more"),
    "role": ({"$tensor": "a", "parameter": 1}, "true or false"),
    "gradient": ({"$tensor": "raw", "requires_grad": True}, "floating point"),
    "array": ({"$array": "a", "dtype": "<f8"}, "expected one of float64"),
    "array_dtype": ({"$array": "a", "dtype": "O"}, "a plain type of numpy"),
    "array_shape": ({"$array": "raw", "dtype": "<M8[s]", "shape": [2]}, "in 8 bytes"),
    "number": ({"$number": "00", "dtype": "<f8"}, "16 of them"),
    "record": ({"$record": ["a"], "kind": "dataclass", "fields": {}}, "a module and a name"),
    "record_kind": ({"$record": ["a", "b"], "kind": "class", "fields": {}}, "a record of kind"),
    "record_dunder": ({"$record": ["a", "b"], "kind": "object", "fields": {"__class__": 1}}, "Python's own"),
    "attributes": ({"$ordered_dict": {}, "attributes": {"__class__": 1}}, "Python's own"),
    "global": ({"$global": ["os"]}, "a module and a name"),
    "object": ({"$object": None, "args": [1]}, "other arguments than a tuple"),
    "missing_field": (
        {"$record": ["codec_values", "Config"], "kind": "dataclass", "fields": {}},
        "'rate' was not saved",
    ),
    "unknown_field": (
        {"$record": ["codec_values", "Config"], "kind": "dataclass", "fields": {"rate": 1, "z": 1}},
        "it has no field 'z'",
    ),
    "other_kind": ({"$record": ["codec_values", "Config"], "kind": "enum", "fields": {}}, "what was saved is a enum"),
    "member": ({"$record": ["codec_values", "Colour"], "kind": "enum", "fields": {"name": "G"}}, "does not take"),
    "not_json": ({"a": b""}, "describes no value"),
    "number_key": ({1: 2}, "the keys"),
}


def tensor(name, stride):
    """What the documents of these tests may name."""
    return TENSORS[name]


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_documents_say_where(name):
    """A document that weightlift does not write is refused with the place in the value and what is wrong."""
    doc, message = MALFORMED[name]
    with pytest.raises(MalformedError, match=message) as raised:
        decode({"here": [0, doc]}, tensor, types=TYPES, root="meta")
    assert str(raised.value).startswith("meta['here'][1]")


def test_every_kind_has_a_malformed_document():
    """No kind takes arbitrary content without one of our errors."""
    contents = [None, True, -1, 1.5, "", "x", [], [1], [[1, 2]], {}, {"a": 1}, {"tensor": "a"}, ["a", "b"], 10**40]
    for tag, kind in BY_TAG.items():
        for content in contents:
            for more in [{}, *({key: value} for key in kind.more for value in contents)]:
                _decodes_or_says_no({tag: content, **more})


def _decodes_or_says_no(doc):
    try:
        return decode(doc, tensor, types=TYPES)
    except (MalformedError, LimitError) as error:
        assert str(error)  # noqa: PT017 - any other exception fails the test
        return error


def _deep(levels, wrap):
    doc = []
    for _ in range(levels):
        doc = wrap(doc)
    return doc


@pytest.mark.parametrize("levels", [101, 900, 100_000])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda doc: [doc],
        lambda doc: {"a": doc},
        lambda doc: {"$tuple": [doc]},
        lambda doc: {"$dict": [[1, doc]]},
        lambda doc: {"$object": doc},
        lambda doc: {"$datetime": "2020-01-01T00:00", "zone": doc},
    ],
)
def test_deep_documents_meet_a_limit(levels, wrap):
    """Nesting beyond what is written is a LimitError, at any depth of the document."""
    doc = _deep(levels + 10, wrap)
    with pytest.raises(LimitError, match="nested deeper"):
        decode(doc, tensor)


def test_keys_that_share_too_much_meet_a_limit():
    """A tuple of itself doubled eighty times is no key: hashing it would never end."""
    doc = {"$tuple": []}
    for number in range(80):
        doc = {"$tuple": [{"$shared": number, "is": doc}, {"$same": number}]}
    with pytest.raises(LimitError, match="in one key"):
        decode({"$dict": [[doc, 1]]}, tensor)
    with pytest.raises(LimitError, match="in one key"):
        decode({"$set": [doc]}, tensor)


def test_budgets_are_kept():
    """The numbers of values and characters are bounded, packed ones too."""
    with pytest.raises(LimitError, match="more than 10 values"):
        decode([0] * 11, tensor, limits=Limits(nodes=10))
    packed = Encoder().encode(list(range(64)), "meta")
    with pytest.raises(LimitError, match="more than 60 values"):
        decode(packed, tensor, limits=Limits(nodes=60))
    with pytest.raises(LimitError, match="more than 10 characters"):
        decode(["a" * 6, "b" * 6], tensor, limits=Limits(text_bytes=10))
    with pytest.raises(LimitError, match="more than 7 bytes"):
        decode({"$bytes": {"tensor": "raw"}}, tensor, limits=Limits(text_bytes=7))


def _document():
    value = {
        "a": [1, 2.5, "x", None, (1, 2), {3: 4}, {1}, frozenset({2}), b"ab", 10**30, float("nan"), 1j, range(3)],
        "b": [np.float32(1), np.dtype("<f4"), torch.float32, torch.Size([1]), torch.device("cpu"), slice(1)],
        "c": [Config(1), Point(1, 2), Path("a"), list(range(70)), random.Random(0).getstate()[1][:70]],
        "d": [bytearray(b"c"), Encoder, 1][::2],
    }
    value["e"] = value["a"]
    return {**Encoder().encode(value, "meta"), "t": {"$tensor": "a"}, "n": {"$array": "raw", "dtype": "|u1"}}


def _places(doc):
    out = []
    waiting = [doc]
    while waiting:
        held = waiting.pop()
        if isinstance(held, dict | list):
            for key, part in held.items() if isinstance(held, dict) else enumerate(held):
                out.append((held, key))
                waiting.append(part)
    return out


def _changed(doc, rng):
    """The document with a few parts removed, replaced, moved, renamed or nested."""
    doc = copy.deepcopy(doc)
    for _ in range(rng.randint(1, 4)):
        held, key = rng.choice(_places(doc))
        other, place = rng.choice(_places(doc))
        what = rng.randint(0, 6)
        if what == 0:
            del held[key]
        elif what == 1:
            held[key] = rng.choice([None, True, -1, 2**70, 1e308, "", "$", "0x", "a", [], {}, [[]], "\ud800"])
        elif what == 2:
            held[key] = copy.deepcopy(other[place])
        elif what == 3 and isinstance(held, dict):
            held[rng.choice([*BY_TAG, "$same", "$shared", "is", "x"])] = held.pop(key)
        elif what == 4:
            held[key] = {rng.choice([*BY_TAG, "$shared"]): held[key]}
        elif what == 5 and isinstance(held[key], str):
            text = held[key]
            held[key] = text[: rng.randint(0, len(text))] + rng.choice(["", "A", "=", "\0", "9"])
        else:
            held[key] = [held[key]] * rng.randint(0, 3)
    return doc


def test_changed_documents_decode_or_say_no():
    """Documents changed at random (WEIGHTLIFT_CASES of them) give a value or one of our errors, nothing else."""
    doc = _document()
    said_no = sum(
        isinstance(_decodes_or_says_no(_changed(doc, random.Random(case))), WeightliftError) for case in range(CASES)
    )
    assert CASES // 10 < said_no < CASES


def test_truncated_texts_are_told_by_json_or_decode():
    """A document cut anywhere is no JSON; one whose strings are cut is told when it is decoded."""
    text = json.dumps(_document())
    for end in random.Random(0).sample(range(len(text)), 200):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text[:end])


def test_a_huge_document_is_decoded_within_its_budget():
    """A document of 300,000 values is one value; one value fewer in the budget is a LimitError."""
    doc = [[1, "a"]] * 100_000
    assert len(decode(doc, tensor, limits=Limits(nodes=300_001))) == 100_000
    with pytest.raises(LimitError, match=r"state\[99999\]"):
        decode(doc, tensor, limits=Limits(nodes=300_000))


_EVENTS: list | None = None


def _hook(event, args):
    if _EVENTS is not None and event in ("import", "exec", "compile", "open", "os.system", "subprocess.Popen"):
        _EVENTS.append((event, str(args[0])))


sys.addaudithook(_hook)


def test_decoding_imports_opens_and_runs_nothing():
    """No document makes the decoder import a module, compile or run code, or start a process."""
    global _EVENTS  # noqa: PLW0603 - an audit hook cannot be removed
    doc = _document()
    named = [
        {"$record": ["this", "C"], "kind": "dataclass", "fields": {}},
        {"$global": ["antigravity", "x"]},
        {"$object": {"$global": ["os", "system"]}, "args": {"$tuple": ["true"]}, "call": True},
        {"$torch": "load"},
        {"$zone": "antigravity/x"},
        {"$torch": "_dynamo"},
    ]
    decode(doc, tensor, types=TYPES)  # what the decoder itself uses is loaded by then
    for case in named:
        _decodes_or_says_no(case)
    changed = [_changed(doc, random.Random(case)) for case in range(300)]
    _EVENTS = []
    try:
        decode(doc, tensor, types=TYPES)
        for case in [*named, *changed]:
            _decodes_or_says_no(case)
    finally:
        events, _EVENTS = _EVENTS, None
    assert events == []


def test_torch_is_not_needed_to_decode():
    """Where torch is not loaded it stays so: its values come as inert nodes, a size as a tuple."""
    code = """
import sys
from weightlift.codec import decode
back = decode([{"$torch": "float32"}, {"$device": "cuda:0"}, {"$size": [2]}], None)
print(back[0], back[1].args, back[2], "torch" in sys.modules, "numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch.float32 ('cuda:0',) (2,) False False"
