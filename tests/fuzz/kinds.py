"""The table of kinds: seeds by name, a mutator, a target."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from . import targets
from .mutators import (
    gguf_header,
    json_text,
    legacy_stream,
    npy_headers,
    pickle_opcodes,
    plan_text,
    safetensors_header,
    step_directories,
    tar_headers,
    zip_fields,
)

Change = Callable[[bytes, random.Random], bytes]
_INDEX = ("weight_map", "metadata", "one.safetensors", "two.bin", "a", "b", "c", "weightlift_names", "total_size")


@dataclass(frozen=True)
class Kind:
    """One kind of input."""

    name: str
    change: Callable[[bytes, random.Random, tuple[pickle_opcodes.Ops, ...]], bytes]
    target: Callable[[str], Callable[[bytes], None]]
    """A folder of its own to what reads a file."""
    share: int = 1
    """How many turns it gets."""


def _plain(change: Change) -> Callable[[bytes, random.Random, tuple[pickle_opcodes.Ops, ...]], bytes]:
    return lambda data, rng, _: change(data, rng)


def _codec_names() -> tuple[str, ...]:
    from weightlift.codec.kinds import BY_TAG

    return (*BY_TAG, "$same", "$shared", "is", "kind", "value", "values", "state", "items")


KINDS = {
    kind.name: kind
    for kind in (
        Kind("machine", pickle_opcodes.changed, lambda _: targets.machine, 4),
        Kind("pickle", pickle_opcodes.changed, lambda _: targets.bare_pickle, 2),
        Kind("torch_pickle", pickle_opcodes.changed, lambda _: targets.torch_pickle, 2),
        Kind("zip", _plain(zip_fields.changed), lambda _: targets.any_file),
        Kind("legacy", legacy_stream.changed, lambda _: targets.any_file),
        Kind("tar", tar_headers.changed, lambda _: targets.any_file),
        Kind("safetensors", _plain(safetensors_header.changed), lambda _: targets.any_file),
        Kind("npy", _plain(npy_headers.changed), lambda _: targets.any_file),
        Kind("gguf", _plain(gguf_header.changed), lambda _: targets.any_file),
        Kind("index", lambda data, rng, _: json_text.changed(data, rng, _INDEX), targets.Index),
        Kind("dcp", pickle_opcodes.changed, lambda _: targets.any_file),
        Kind("plan", _plain(plan_text.changed), lambda _: targets.plan),
        Kind("codec", lambda data, rng, _: json_text.changed(data, rng, _codec_names()), lambda _: targets.codec),
        Kind("manifest", _plain(step_directories.changed_manifest), lambda _: targets.manifest),
        Kind("step", _plain(step_directories.changed), targets.Step),
    )
}
"""Name -> kind."""
