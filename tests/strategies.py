"""Hypothesis strategies, and the independent reading of torch tensors that they are compared by."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

NEW_DTYPES = sorted(torch.storage._new_dtypes(), key=str)
"""Types that torch saves as untyped storages."""

PLAIN_DTYPES = sorted((d for d in torch.storage._dtype_to_storage_type_map() if "torch.q" not in str(d)), key=str)
"""Types that torch saves under a storage class of their own, quantised ones aside."""

DTYPES = PLAIN_DTYPES + NEW_DTYPES


def name_of(dtype: torch.dtype) -> str:
    """The name that weightlift gives a torch dtype."""
    return str(dtype).removeprefix("torch.")


def storage_bytes(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Every byte of a tensor's storage, whatever the element type."""
    flat = torch.empty(0, dtype=torch.uint8)
    flat.set_(tensor.untyped_storage(), 0, (tensor.untyped_storage().nbytes(),), (1,))
    return flat.numpy()


def element_bytes(tensor: torch.Tensor) -> bytes:
    """The elements of a torch tensor in order, as numpy's own striding finds them in its storage."""
    tensor = tensor.detach()
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    if not tensor.numel():
        return b""
    width = tensor.element_size()
    data = storage_bytes(tensor)[tensor.storage_offset() * width :]
    elements = np.lib.stride_tricks.as_strided(
        data[: len(data) // width * width].view(f"V{width}"), tensor.shape, [step * width for step in tensor.stride()]
    )
    return elements.tobytes()


def random_storage(nbytes: int, seed: int, dtype: torch.dtype = torch.uint8) -> torch.UntypedStorage:
    """A storage of random bytes; those of booleans are 0 or 1, since torch leaves the rest undefined."""
    data = bytearray(random.Random(seed).randbytes(nbytes))
    if dtype is torch.bool:
        data = bytearray(byte & 1 for byte in data)
    return torch.frombuffer(data, dtype=torch.uint8).untyped_storage() if nbytes else torch.UntypedStorage(0)


@st.composite
def geometries(draw, dimensions: int = 4, longest: int = 5, widest_step: int = 30):
    """(shape, strides, offset): transposed, stepped, expanded, overlapping, 0-d and empty views."""
    shape = draw(st.lists(st.integers(0 if draw(st.integers(0, 5)) == 0 else 1, longest), max_size=dimensions))
    kind = draw(st.sampled_from(["any", "permuted", "contiguous", "expanded"]))
    if kind == "any":
        stride = [draw(st.integers(0, widest_step)) for _ in shape]
    else:
        stride, step = [0] * len(shape), 1
        axes = list(range(len(shape)))
        for axis in draw(st.permutations(axes)) if kind == "permuted" else reversed(axes):
            stride[axis], step = step, step * max(shape[axis], 1)
        if kind == "expanded" and shape:
            stride[draw(st.integers(0, len(shape) - 1))] = 0
    return tuple(shape), tuple(stride), draw(st.integers(0, 7))


def reach(shape: tuple[int, ...], stride: tuple[int, ...], offset: int) -> int:
    """How many elements a storage needs for a view."""
    return offset + (0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)))


def view_of(storage: torch.UntypedStorage, dtype: torch.dtype, geometry: Any) -> torch.Tensor:
    """The torch tensor of a geometry on a storage."""
    shape, stride, offset = geometry
    return torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)


@st.composite
def tensors(draw, dtypes: list[torch.dtype] = DTYPES):
    """A strided view of random bytes of any type, sometimes conjugated or negated."""
    dtype = draw(st.sampled_from(dtypes))
    geometry = draw(geometries())
    slack = draw(st.integers(0, 3))
    width = torch.empty(0, dtype=dtype).element_size()
    storage = random_storage((reach(*geometry) + slack) * width, draw(st.integers(0, 999)), dtype)
    conj = dtype.is_complex and draw(st.booleans())
    neg = dtype in (torch.float32, torch.float64, torch.int32, torch.complex64) and draw(st.booleans())
    made = view_of(storage, dtype, geometry)
    if conj or neg:  # torch gives NaN either sign then, so there are none: no exponent has all bits set
        storage_bytes(made).__iand__(0xBF)
    if conj:
        made = made.conj()
    return torch._neg_view(made) if neg else made


@st.composite
def shared_views(draw):
    """Names to views of one or two storages: equal, inside one another, overlapping, of several types."""
    out = {}
    for number in range(draw(st.integers(1, 2))):
        dtype = draw(st.sampled_from([torch.float32, torch.uint8, torch.complex128, torch.float8_e4m3fn]))
        views = draw(st.lists(geometries(dimensions=2, longest=4, widest_step=6), min_size=1, max_size=6))
        views += draw(st.lists(st.sampled_from(views), max_size=3))
        width = torch.empty(0, dtype=dtype).element_size()
        storage = random_storage(max(reach(*view) for view in views) * width, number)
        for place, view in enumerate(draw(st.permutations(views))):
            out[f"s{number}.{place}"] = view_of(storage, dtype, view)
    return out


def plain_values(longest: int = 4):
    """Nested plain Python values, hashable where a set or key needs them."""
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.binary(max_size=400).map(lambda raw: int.from_bytes(raw, "little", signed=True)),
        st.floats(),
        st.complex_numbers(),
        st.text(st.characters(exclude_categories=()), max_size=20),
        st.binary(max_size=20),
    )
    hashable = st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.tuples(inner), st.tuples(inner, inner, inner, inner), st.frozensets(inner, max_size=longest)
        ),
        max_leaves=6,
    )
    return st.recursive(
        st.one_of(hashable, st.builds(bytearray, st.binary(max_size=20)), st.sets(hashable, max_size=longest)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=longest),
            st.tuples(inner, inner),
            st.dictionaries(hashable, inner, max_size=longest),
            inner.map(lambda value: [value, value]),
        ),
        max_leaves=12,
    )
