"""The tar that torch.save wrote before 0.1.9: members `storages`, `tensors` and `pickle`.

A variant without `tensors` names storages in its pickle, by ids or by plain tuples; both are read.

Follows torch/serialization.py `legacy_load`: each storage is a pickle of (key, location, class), 8 bytes
of element count and the elements; each tensor a pickle of (key, storage, class) and its raw geometry.
"""

from __future__ import annotations

from struct import Struct

from ..checkpoint import Checkpoint
from ..containers.tar import read_tar, tar_findings
from ..dtypes import BY_STORAGE_CLASS, DType
from ..errors import ContainerError, PickleError, TensorError, shown, worded
from ..pickles import Global, read_pickle
from ..sources import Memory, Source
from ..tensors import Storage, Tensor, rebuilders
from ..tensors.rebuild import TENSOR_VALUES, TypedStorage
from ..typed import Any
from .archive import is_tar
from .base import Format, Opening, Probe

_MEMBERS = {"storages", "pickle"}


def _recognises(probe: Probe) -> bool:
    return is_tar(probe) and set(read_tar(probe.source, probe.limits)) >= _MEMBERS


_NO_TENSORS = b"\x80\x02K\x00."  # a pickled 0


class _Stream:
    """A member read from front to back."""

    def __init__(self, source: Source, opening: Opening) -> None:
        self.source = source
        self.limits = opening.limits
        self.at = 0
        self.globals: dict[Global, int] = {}

    def pickle(self) -> Any:
        read = read_pickle(self.source, self.at, limits=self.limits)
        self.at = read.end
        self.globals |= read.globals
        return read.value

    def count(self) -> int:
        value = self.pickle()
        if type(value) is not int or not 0 <= value <= self.limits.nodes:
            raise ContainerError(f"{shown(value, 40)} where a count should be", where=self.source.name)
        return value

    def integers(self, count: int) -> tuple[int, ...]:
        data = self.source.read_at(self.at, 8 * count)
        self.at += 8 * count
        return Struct(f"<{count}q").unpack(data)


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    members = read_tar(probe.source, opening.limits)
    storages = _Stream(members["storages"], opening)
    by_key = _storages(storages)
    tensors = _Stream(members.get("tensors", Memory(_NO_TENSORS)), opening)
    made = _tensors(tensors, by_key)

    def persistent(identifier: Any) -> Any:
        if isinstance(identifier, tuple) and identifier and identifier[0] != "storage":
            return identifier[0]  # (class, source file, source) of a whole module
        key = str(identifier[2] if isinstance(identifier, tuple) and len(identifier) > 2 else identifier)
        if key in made:
            return made[key]
        if key not in by_key:
            raise PickleError(f"persistent id {shown(identifier, 60)}", expected="the key of a tensor or storage")
        storage, dtype, base = by_key[key]
        return TypedStorage(storage, dtype, base * dtype.itemsize)

    def tensor(storage: Any, *rest: Any) -> Any:
        return TENSOR_VALUES["tensor_v2"](persistent(storage) if isinstance(storage, tuple) else storage, *rest)

    rebuild = rebuilders(tensor_v2=tensor)
    pickle = opening.read(members["pickle"], rebuild=rebuild, persistent=persistent, limits=opening.limits)
    return Checkpoint(
        pickle.value,
        format="torch-tar",
        source=probe.source,
        details={"storages": len(by_key), "pickle_protocol": pickle.protocol},
        globals={**pickle.globals, **storages.globals, **tensors.globals},
        findings=tar_findings(probe.source, opening.limits),
        limits=opening.limits,
    )


def _storages(stream: _Stream) -> dict[str, tuple[Storage, DType, int]]:
    """Return key -> (storage, element type, offset in elements); views lie in their root's storage."""
    by_key: dict[str, tuple[Storage, DType, int]] = {}
    for _ in range(stream.count()):
        head = stream.pickle()
        if not isinstance(head, tuple) or len(head) != 3 or not isinstance(head[2], Global):
            raise ContainerError(f"{shown(head, 60)}", expected="(key, location, storage class)", where="storages")
        key, location, cls = head
        dtype = BY_STORAGE_CLASS.get(cls.name)
        if dtype is None or not isinstance(key, int | str):
            raise ContainerError(f"storage class {cls}", expected=f"one of {', '.join(BY_STORAGE_CLASS)}")
        (numel,) = stream.integers(1)
        if numel < 0:
            raise ContainerError(f"a storage of {numel} elements", expected="0 or more")
        nbytes = numel * dtype.itemsize
        data = stream.source.window(stream.at, nbytes, f"storage {worded(key)}")
        by_key[worded(key)] = (Storage(worded(key), nbytes, data, device=worded(location)), dtype, 0)
        stream.at += nbytes
    views = stream.pickle() if stream.at < stream.source.size else []
    for view in views if isinstance(views, list) else []:
        if not isinstance(view, tuple) or len(view) != 4 or worded(view[1]) not in by_key or type(view[2]) is not int:
            raise ContainerError(f"storage view {shown(view, 60)}", expected="(key, root, offset, size)")
        root, dtype, base = by_key[worded(view[1])]
        by_key[worded(view[0])] = (root, dtype, base + view[2])
    return by_key


def _tensors(stream: _Stream, storages: dict[str, tuple[Storage, DType, int]]) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for _ in range(stream.count()):
        head = stream.pickle()
        if not isinstance(head, tuple) or len(head) != 3 or worded(head[1]) not in storages:
            raise ContainerError(f"{shown(head, 60)}", expected="(key, storage key, tensor class)", where="tensors")
        storage, dtype, base = storages[worded(head[1])]
        dimensions = int.from_bytes(stream.source.read_at(stream.at, 4), "little")
        stream.at += 8  # 4 bytes of dimensions, 4 of padding
        if dimensions > stream.limits.dimensions:
            raise TensorError(f"{dimensions} dimensions", expected=f"at most {stream.limits.dimensions}")
        shape, stride = stream.integers(dimensions), stream.integers(dimensions)
        (offset,) = stream.integers(1)
        made[worded(head[0])] = Tensor(dtype, shape, stride, base + offset, storage)
    return made


FORMAT = Format("torch-tar", _recognises, _open)
