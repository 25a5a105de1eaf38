"""safetensors files and indexes that do not hold together."""

from __future__ import annotations

import json
import struct
from typing import Any

from bad_files import Table
from builders import BENIGN, FOUR_FLOATS, safetensors

TABLE = Table()
INDEX = "model.safetensors.index.json"


def about(begin: int = 0, end: int = 16, shape: tuple[int, ...] = (4,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def header(**tensors: Any) -> bytes:
    return json.dumps(tensors).encode()


def whole(data: bytes = FOUR_FLOATS, **tensors: Any) -> bytes:
    return safetensors(header(**tensors), data)


SAFE = {"suffix": ".safetensors"}


@TABLE.add(**SAFE, error=("TruncatedError", "'a': ends at byte 1600 of 16"))
def a_tensor_beyond_the_end() -> bytes:
    return whole(a=about(0, 1600, (400,)))


@TABLE.add(**SAFE, error=("LimitError", "a header of 9223372036854775808 bytes"))
def a_header_of_many_exabytes() -> bytes:
    return struct.pack("<Q", 1 << 63) + b"{}"


@TABLE.add(**SAFE, error=("TruncatedError", "a header of 5000 bytes in a file of 10"))
def a_header_longer_than_the_file() -> bytes:
    return safetensors(b"{}", length=5000)


@TABLE.add(**SAFE, error=("ContainerError", "12 bytes belong to no tensor"))
def bytes_that_belong_to_nothing() -> bytes:
    return whole(FOUR_FLOATS + b"PK\3\4trailing", a=about())


@TABLE.add(**SAFE, error=("TensorError", "4835703278458516698824704 bytes"))
def a_shape_whose_product_overflows() -> bytes:
    return whole(a=about(shape=(1 << 40, 1 << 40)))


@TABLE.add(**SAFE, error=("TensorError", "F99"))
def a_type_that_does_not_exist() -> bytes:
    return whole(a=about(dtype="F99"))


@TABLE.add(**SAFE, error=("TensorError", "'a': shape [-4]"))
def a_negative_dimension() -> bytes:
    return whole(a=about(shape=(-4,)))


@TABLE.add(**SAFE, error=("TensorError", "expected begin <= end"))
def a_tensor_that_ends_before_it_begins() -> bytes:
    return whole(a=about(16, 0))


@TABLE.add(**SAFE, error=("ContainerError", ""))
def two_tensors_of_the_same_bytes() -> bytes:
    return whole(a=about(), b=about())


@TABLE.add(**SAFE, error=("ContainerError", ""))
def a_hole_between_tensors() -> bytes:
    return whole(FOUR_FLOATS + FOUR_FLOATS, a=about(16, 32))


@TABLE.add(**SAFE, error=("ContainerError", "'a' stands twice"))
def a_name_that_stands_twice() -> bytes:
    entry = json.dumps(about())
    return safetensors(f'{{"a": {entry}, "a": {entry}}}'.encode(), FOUR_FLOATS)


@TABLE.add(**SAFE, error=("ContainerError", "the header is not JSON"))
def a_header_nested_without_end() -> bytes:
    return safetensors(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)


@TABLE.add(**SAFE, error=("PickleError", "its data lies outside this file"))
def a_bare_pickle_under_a_safe_name() -> bytes:
    return BENIGN


@TABLE.add(suffix="", error=("ContainerError", "expected a file name in the folder of the index"))
def an_index_that_points_elsewhere() -> dict[str, bytes]:
    return {f"elsewhere/{INDEX}": header(metadata={}, weight_map={"w": "../../../../../../etc/passwd"})}


@TABLE.add(suffix="", error=("SourceError", "1 of 2 shards are missing"))
def an_index_without_a_shard() -> dict[str, bytes]:
    shards = {"w": "model-00001-of-00002.safetensors", "v": "model-00002-of-00002.safetensors"}
    return {f"gone/{INDEX}": header(metadata={}, weight_map=shards), f"gone/{shards['w']}": whole(w=about())}


@TABLE.add(suffix="", error=("ContainerError", "'v' in 'model-00001-of-00001.safetensors', which is not there"))
def an_index_that_lists_too_much() -> dict[str, bytes]:
    name = "model-00001-of-00001.safetensors"
    return {f"more/{INDEX}": header(metadata={}, weight_map={"w": name, "v": name}), f"more/{name}": whole(w=about())}


@TABLE.add(suffix="", error=("MalformedError", "weight_map"))
def an_index_that_maps_to_numbers() -> dict[str, bytes]:
    return {f"numbers/{INDEX}": header(metadata={}, weight_map={"w": 5})}


@TABLE.add(suffix="", error=("LimitError", "archives nested deeper than 4"))
def an_index_that_is_its_own_shard() -> dict[str, bytes]:
    return {f"loop/{INDEX}": header(metadata={}, weight_map={"w": INDEX})}
