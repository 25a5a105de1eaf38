"""Blocks of tensors in a manifest."""

from __future__ import annotations

import pytest

from weightlift.errors import MalformedError
from weightlift.formats.joined import with_joined
from weightlift.writers.manifest import STATE, FileRecord, Manifest, Shard, TensorRecord, is_own_name

DIGEST = "0" * 32
SHARD = Shard("model/w", (7, 5), (4, 0), (3, 5))


def text_of(shard, name=None):
    """The text of a manifest with one block."""
    files = {"data-3-00001.safetensors": FileRecord(60, DIGEST, DIGEST), STATE: FileRecord(2, DIGEST)}
    record = TensorRecord("data-3-00001.safetensors", 60, DIGEST, shard)
    return Manifest(files=files, tensors={name or shard.name: record}).to_bytes()


def test_a_block():
    """A block comes back with its place, under a name that says it."""
    assert SHARD.name == "model/w[4:7, 0:5]"
    assert Manifest.from_bytes(text_of(SHARD)).tensors[SHARD.name].shard == SHARD


@pytest.mark.parametrize(
    ("shard", "name"),
    [
        (SHARD, "model/w"),
        (Shard("model/w", (7, 5), (5, 0), (3, 5)), None),
        (Shard("model/w", (7,), (4, 0), (3, 5)), None),
        (Shard("model/w", (7, 5), (-1, 0), (3, 5)), None),
    ],
)
def test_a_block_that_is_none(shard, name):
    """A block outside of its tensor, of other dimensions, or under another name is refused."""
    with pytest.raises((MalformedError, ValueError)):
        Manifest.from_bytes(text_of(shard, name))


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("data-0-00001.safetensors", True),
        ("data-17-00001.safetensors", True),
        ("data-00001.safetensors", True),
        ("data-017-00001.safetensors", False),
        ("data--00001.safetensors", False),
        ("data-1-1.safetensors", False),
        ("data-1-2-00001.safetensors", False),
        ("data-\N{SUPERSCRIPT TWO}-00001.safetensors", False),
    ],
)
def test_names_of_files(name, own):
    """Each rank has files of its own, of one spelling."""
    assert is_own_name(name) == own


@pytest.mark.parametrize("ties", [{"a": "nowhere"}, {"w": "w"}, ["a"], {"a": 1}])
def test_ties_of_nothing(ties):
    """A further name of a tensor that is not there, or a name that is taken, is refused."""
    with pytest.raises(MalformedError, match=r"ties|tied"):
        with_joined({"w": object()}, {}, ties)
