"""A lazy tensor: everything about it but its bytes, which are read only when somebody asks.

Shapes and strides are in elements, outermost first, as torch gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..dtypes import DType
from ..errors import LimitError, TensorError, TruncatedError, UnsupportedError
from ..limits import DEFAULT_LIMITS
from ..sources import Source
from ..typed import TYPE_CHECKING, Any, Literal
from ..values import dataclass, field, replace

if TYPE_CHECKING:
    import numpy as np
    import torch

Role = Literal["tensor", "parameter", "buffer", "array"]


class Storage:
    """A run of bytes that one or more tensors view. Two tensors with the same `Storage` are aliases.

    `data` is where the bytes lie, or None while a stream has not said yet; `absent` says why there
    are none to be had ("meta", "skipped"). `nbytes` is what the file claims.
    """

    __slots__ = ("absent", "data", "device", "key", "little_endian", "most_nbytes", "nbytes")

    def __init__(
        self,
        key: str,
        nbytes: int,
        data: Source | None = None,
        *,
        device: str = "cpu",
        little_endian: bool = True,
        absent: str = "",
    ) -> None:
        self.key = key
        self.nbytes = nbytes
        self.data = data
        self.device = device
        self.little_endian = little_endian
        self.absent = absent
        self.most_nbytes = DEFAULT_LIMITS.materialised_bytes
        """`Limits.materialised_bytes` for tensors on this storage."""

    @property
    def free_nbytes(self) -> int:
        """What tensors on this storage may take whatever the limit says: 8 times what the file holds of it."""
        return int(_FREE_FOLD * self.nbytes * (self.data.density if self.data is not None else 1))

    def source(self) -> Source:
        """Return where the bytes lie.

        Raises:
            TensorError: the storage has no data, or other data than it claims.
        """
        if self.absent:
            raise TensorError(f"storage {self.key!r} has no data ({self.absent})", remedy="save the file with its data")
        if self.data is None:
            raise TruncatedError(
                f"storage {self.key!r} is missing", expected="a complete file", remedy="fetch or save it again"
            )
        if self.data.size < self.nbytes:
            raise TruncatedError(
                f"storage {self.key!r} has {self.data.size} bytes", expected=f"the {self.nbytes} that the file claims"
            )
        return self.data

    def __repr__(self) -> str:
        return f"<storage {self.key!r}, {self.nbytes} bytes>"


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A strided view of a storage. Nothing is read before `numpy`, `torch` or `tobytes` is called."""

    dtype: DType
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    """In elements, from the beginning of the storage."""
    storage: Storage
    role: Role = "tensor"
    requires_grad: bool = False
    conj: bool = False
    neg: bool = False
    class_name: str = ""
    """The tensor subclass that the file names, if it names one."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Python attributes that the file hangs on the tensor."""
    cast: DType | None = None
    """What `torch` turns the values into, where the file has them in a wider type (XLA, HPU)."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        return product(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, written without gaps."""
        return self.dtype.nbytes(self.numel)

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie in the storage in order and without gaps (rows first)."""
        if 0 in self.shape:
            return True
        expected = 1
        for size, step in zip(reversed(self.shape), reversed(self.stride), strict=False):
            if size != 1 and step != expected:
                return False
            expected *= size
        return True

    @property
    def absent(self) -> str:
        """Why there is no data ("meta", "skipped"), or ""."""
        return self.storage.absent

    @property
    def view(self) -> tuple[object, ...]:
        """What makes two tensors the same view: equal for aliases of all their elements."""
        return (id(self.storage), self.offset, self.shape, self._steps(), self.dtype.name, self.conj, self.neg)

    def _steps(self) -> tuple[int, ...]:
        """The strides that matter: those of dimensions of one element do not."""
        return tuple(step if size > 1 else 0 for size, step in zip(self.shape, self.stride, strict=False))

    @property
    def extent(self) -> tuple[int, int]:
        """First and last-plus-one byte of the storage that the elements touch."""
        if self.numel == 0:
            return (0, 0)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=False))
        bits = self.dtype.bits
        return self.offset * bits // 8, ((last + 1) * bits + 7) // 8

    def check(self) -> None:
        """Hold the description against the storage, in exact integers. Reads nothing.

        Raises:
            TensorError: a negative size, stride or offset, or a view that reaches outside its storage.
            TruncatedError: the storage is shorter than it claims.
        """
        if len(self.shape) != len(self.stride):
            raise TensorError(f"{len(self.shape)} sizes and {len(self.stride)} strides")
        if min(self.shape, default=0) < 0:
            raise TensorError(f"shape {list(self.shape)}", expected="sizes of 0 or more")
        if self.offset < 0 or min(self.stride, default=0) < 0:
            raise TensorError(f"offset {self.offset}, strides {list(self.stride)}", expected="none below 0")
        if self.numel >= 1 << 63:
            raise TensorError(f"shape {list(self.shape)} has {self.numel} elements", expected="fewer than 2^63")
        start, end = self.extent
        if end > self.storage.nbytes:
            raise TensorError(
                f"shape {list(self.shape)} at byte {start} reaches to byte {end}",
                expected=f"at most the {self.storage.nbytes} bytes of its storage",
                remedy="the file is damaged or was made by hand",
            )
        if not self.absent and self.numel:
            self.storage.source()

    def check_expansion(self) -> None:
        """Hold the bytes of the elements against what the file holds. Reads nothing.

        Raises:
            LimitError: they are far more, and more than `Limits.materialised_bytes`.
        """
        check_expansion(self.nbytes, self.storage.free_nbytes, self.storage.most_nbytes)

    @property
    def peak_nbytes(self) -> int:
        """Bytes held at once, at most, by `numpy`."""
        return self.nbytes + self.streamed_nbytes

    @property
    def streamed_nbytes(self) -> int:
        """Bytes held at once, at most, while `chunks` is gone through."""
        from .pack import held_nbytes

        return held_nbytes(self)

    def chunks(self) -> Iterator[bytes | bytearray | memoryview]:
        """Yield the elements as little-endian bytes, rows first, in pieces of bounded size."""
        from .pack import packed_chunks

        return packed_chunks(self)

    def tobytes(self) -> bytes:
        """Return the elements as little-endian bytes, rows first."""
        return b"".join(self.chunks())

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return a new array of this shape; bfloat16 and float8 come as ml_dtypes types.

        Raises:
            UnsupportedError: numpy has no such element type. TensorError: there is no data.
        """
        from .as_numpy import to_numpy

        return to_numpy(self)

    def torch(self) -> torch.Tensor:
        """Return a new torch tensor of this dtype, shape and strides, on the CPU.

        Raises:
            MissingDependencyError: torch is not installed. TensorError: there is no data.
        """
        from .as_torch import to_torch

        return to_torch(self)

    def with_role(self, role: Role, *, requires_grad: bool | None = None) -> Tensor:
        """Return the same view as a parameter, buffer or plain tensor."""
        grad = self.requires_grad if requires_grad is None else requires_grad
        view = (self.dtype, self.shape, self.stride, self.offset, self.storage)
        return Tensor(*view, role, grad, self.conj, self.neg, self.class_name, self.extra)

    def build(self, state: object) -> None:
        """Take what BUILD hands to a Variable or Parameter of torch before 0.4: its flags."""
        if isinstance(state, tuple) and len(state) in (3, 5):
            flag = state[0] if len(state) == 3 else state[3]
            if isinstance(flag, bool):
                object.__setattr__(self, "requires_grad", flag)

    def __repr__(self) -> str:
        return f"Tensor({self.dtype}, {list(self.shape)}{', ' + self.absent if self.absent else ''})"


@dataclass(frozen=True, slots=True, eq=False)
class Composite:
    """A tensor made of tensors: sparse, nested, quantised, packed, or a wrapper subclass.

    `layout` says how ("sparse_coo", "nested", "quantized", "wrapper", "tuple"), `parts` are the
    strided tensors by the name torch gives them, `attributes` the plain values that belong to it.
    """

    layout: str
    dtype: DType | None
    shape: tuple[int, ...]
    parts: Mapping[str, Tensor]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    role: Role = "tensor"
    requires_grad: bool = False
    class_name: str = ""

    @property
    def numel(self) -> int:
        """Number of elements; of ragged shapes, those that are stored."""
        if all(size >= 0 for size in self.shape):
            return product(self.shape)
        return self.parts["values"].numel if "values" in self.parts else 0

    @property
    def nbytes(self) -> int:
        """Bytes that the parts take."""
        return sum(part.nbytes for part in self.parts.values())

    @property
    def absent(self) -> str:
        """Why a part has no data, or ""."""
        return next((part.absent for part in self.parts.values() if part.absent), "")

    def check(self) -> None:
        """Check every part."""
        for name, part in self.parts.items():
            try:
                part.check()
            except (TensorError, TruncatedError) as error:
                error.at(name)
                raise

    def numpy(self) -> np.ndarray[Any, Any]:
        """Not to be had as one array; take the `parts`."""
        raise UnsupportedError(
            f"a {self.layout} tensor is no single array", remedy=f"take .parts[...]: {', '.join(self.parts)}"
        )

    def torch(self) -> torch.Tensor:
        """Return the torch tensor of this layout, built from its parts."""
        from .as_torch import composite_to_torch

        made: torch.Tensor = composite_to_torch(self)
        return made

    def with_role(self, role: Role, *, requires_grad: bool | None = None) -> Composite:
        """Return the same tensor as a parameter, buffer or plain tensor."""
        grad = self.requires_grad if requires_grad is None else requires_grad
        return replace(self, role=role, requires_grad=grad)

    def build(self, state: object) -> None:
        """Nothing to take: only strided tensors had a BUILD in old torch."""

    def __repr__(self) -> str:
        return f"Composite({self.layout}, {self.dtype}, {list(self.shape)}, parts={list(self.parts)})"


AnyTensor = Tensor | Composite

_FREE_FOLD = 8


def check_expansion(nbytes: int, free_nbytes: int, most_nbytes: int) -> None:
    """Refuse what would take far more than the file holds.

    Raises:
        LimitError: more than `free_nbytes`, and more than the limit.
    """
    if nbytes > max(free_nbytes, most_nbytes):
        raise LimitError(
            f"{nbytes} bytes would be made of the {free_nbytes // _FREE_FOLD} that are there",
            expected=f"at most {most_nbytes}",
            remedy="raise Limits.materialised_bytes",
        )


def check_together(tensors: Iterable[Tensor]) -> None:
    """Refuse tensors that are read or written together and take far more than the file holds, views and all.

    Raises:
        LimitError: more than 8 times the storages, and more than the largest of their limits.
    """
    nbytes = most = 0
    storages: dict[int, int] = {}
    for tensor in tensors:
        nbytes += tensor.nbytes
        if id(tensor.storage) not in storages:
            storages[id(tensor.storage)] = tensor.storage.free_nbytes
            most = max(most, tensor.storage.most_nbytes)
    check_expansion(nbytes, sum(storages.values()), most)


def product(sizes: tuple[int, ...]) -> int:
    """Return the number of elements of a shape, exactly."""
    numel = 1
    for size in sizes:
        numel *= size
    return numel


def is_dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether elements lie without gaps or overlaps, in whatever order of the dimensions."""
    expected = 1
    for step, size in sorted(zip(stride, shape, strict=True)):
        if size != 1:
            if step != expected:
                return False
            expected *= size
    return True


def rows_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor of this shape."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def contiguous(dtype: DType, shape: tuple[int, ...], storage: Storage, *, role: Role = "tensor") -> Tensor:
    """Return the tensor that fills a storage from its first byte, rows first.

    Raises:
        LimitError: more dimensions than any tensor has.
    """
    if len(shape) > DEFAULT_LIMITS.dimensions:
        raise LimitError(f"{len(shape)} dimensions", expected=f"at most {DEFAULT_LIMITS.dimensions}")
    return Tensor(dtype, shape, rows_first(shape), 0, storage, role)
