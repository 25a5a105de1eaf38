"""Lazy tensors as torch tensors. torch is imported here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import MissingDependencyError, TensorError, UnsupportedError
from ..typed import TYPE_CHECKING, Any
from .lazy import AnyTensor, Composite, Storage, Tensor, check_expansion
from .pack import packed_chunks

if TYPE_CHECKING:
    import torch

_ALIGNED = 64
"""What torch aligns its memory to, in bytes: a sum over memory that lies otherwise has another last bit."""


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingDependencyError("torch is not installed", remedy="pip install 'weightlift[torch]'") from None
    return torch


def to_torch(tensor: Tensor) -> torch.Tensor:
    """Return a new torch tensor with the same dtype, shape, strides and values.

    Of `sources.OwnMemory` it is that very memory, not a copy.
    """
    made: torch.Tensor = _Loader([tensor]).load(tensor)
    return made


def mapping_to_torch(tensors: Mapping[str, AnyTensor]) -> dict[str, Any]:
    """Return torch tensors by name; those that share a storage share it again, and `OwnMemory` with its source."""
    loader = _Loader(tensors.values())
    return {name: loader.load(tensor) for name, tensor in tensors.items()}


def composite_to_torch(tensor: Composite) -> Any:
    """Return the sparse, nested, quantised ... torch tensor that the parts make."""
    return _Loader([tensor]).load(tensor)


class _Loader:
    """Builds torch tensors; every storage is read once, and only the span that is viewed."""

    def __init__(self, tensors: Iterable[AnyTensor]) -> None:
        self.torch = _torch()
        self._spans: dict[int, tuple[int, int]] = {}
        self._made: dict[int, Any] = {}
        self._storages: dict[tuple[int, int], Any] = {}
        for tensor in tensors:
            for part in [tensor] if isinstance(tensor, Tensor) else tensor.parts.values():
                part.check()
                start, end = part.extent
                start -= start % 16  # every element type can still be addressed from here
                low, high = self._spans.get(id(part.storage), (start, end))
                self._spans[id(part.storage)] = (min(low, start), max(high, end))

    def load(self, tensor: AnyTensor) -> Any:
        """Return the torch tensor of one lazy tensor; the same one for the same."""
        made = self._made.get(id(tensor))
        if made is None:
            made = self._plain(tensor) if isinstance(tensor, Tensor) else self._composite(tensor)
            if tensor.requires_grad and (made.is_floating_point() or made.is_complex()):
                made.requires_grad_(True)
            self._made[id(tensor)] = made
        return made

    def _dtype(self, name: str) -> Any:
        dtype = getattr(self.torch, name, None)
        if dtype is None:
            raise UnsupportedError(f"this torch ({self.torch.__version__}) has no {name}", remedy="use a newer torch")
        return dtype

    def _plain(self, tensor: Tensor) -> Any:
        torch = self.torch
        dtype = self._dtype(tensor.dtype.name)
        if tensor.absent == "meta":
            return torch.empty_strided(tensor.shape, tensor.stride, dtype=dtype, device="meta")
        if tensor.numel == 0:
            return torch.empty_strided(tensor.shape, tensor.stride, dtype=dtype)
        if tensor.dtype.bits < 8:
            raise UnsupportedError(f"torch cannot be handed packed {tensor.dtype} elements")
        start, _ = self._spans[id(tensor.storage)]
        made = torch.empty(0, dtype=dtype)
        offset = tensor.offset - start // tensor.dtype.itemsize
        made.set_(self._storage(tensor), offset, tensor.shape, tensor.stride)
        if tensor.conj:
            made = made.conj()
        if tensor.neg:
            made = torch._neg_view(made)
        return made.to(self._dtype(tensor.cast.name)) if tensor.cast else made

    def _storage(self, tensor: Tensor) -> Any:
        """The storage's bytes in memory, little-endian, from the start of its span."""
        # bytes of the other order are swapped by element, so views of several element sizes cannot share them
        key = id(tensor.storage), 0 if tensor.storage.little_endian else tensor.dtype.itemsize
        made = self._storages.get(key)
        if made is None:
            start, end = self._spans[id(tensor.storage)]
            made = _own_storage(self.torch, tensor.storage, start, end)
            if made is None:
                made = _bytes_as_storage(self.torch, tensor, start, end)
            self._storages[key] = made
        return made

    def _composite(self, tensor: Composite) -> Any:
        try:
            return self._of_parts(tensor, {name: self.load(part) for name, part in tensor.parts.items()})
        except (RuntimeError, TypeError, ValueError, KeyError, IndexError) as error:
            reason = str(error).partition("\n")[0]
            raise TensorError(f"torch cannot make a {tensor.layout} tensor of its parts ({reason:.160})") from None

    def _of_parts(self, tensor: Composite, got: dict[str, Any]) -> Any:
        torch, parts, more = self.torch, tensor.parts, tensor.attributes
        layout = tensor.layout
        if layout == "sparse_coo":
            return torch.sparse_coo_tensor(
                got["indices"],
                got["values"],
                tensor.shape,
                is_coalesced=more.get("is_coalesced"),
                check_invariants=True,  # torch's kernels trust the indices
            )
        if layout in ("sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"):
            first, second, values = got.values()
            kind = getattr(torch, layout)
            return torch.sparse_compressed_tensor(
                first, second, values, tensor.shape, layout=kind, check_invariants=True
            )
        if layout == "nested":
            _check_nested(got)
            return torch._nested_view_from_buffer(got["values"], got["sizes"], got["strides"], got["storage_offsets"])
        if layout == "jagged":
            return torch.nested.nested_tensor_from_jagged(
                got["values"], got["offsets"], got.get("lengths"), jagged_dim=more.get("ragged_idx", 1)
            )
        if layout == "quantized":
            return self._quantized(tensor, got)
        if layout == "tuple":
            return tuple(got.get(str(i), more.get(str(i))) for i in range(int(more["length"])))
        if layout == "wrapper" and len(got) == 1 and tensor.class_name.endswith(".DTensor"):
            raise UnsupportedError("a DTensor shard", remedy="take .parts['_local_tensor'], this rank's part of it")
        raise UnsupportedError(
            f"a {tensor.class_name or layout} tensor needs its class", remedy=f"take .parts: {', '.join(parts)}"
        )

    def _quantized(self, tensor: Composite, got: dict[str, Any]) -> Any:
        torch, more = self.torch, tensor.attributes
        dtype = self._dtype(str(tensor.dtype))
        if more.get("qscheme") == "per_tensor_affine":
            made = torch._empty_affine_quantized(
                tensor.shape, scale=more["scale"], zero_point=more["zero_point"], dtype=dtype
            )
        else:
            scales = got["scales"] if "scales" in got else torch.tensor(more["scales"], dtype=torch.double)
            zeros = got["zero_points"] if "zero_points" in got else torch.tensor(more["zero_points"])
            axis = more["axis"]  # torch's constructor does not check it, nor the lengths
            if not 0 <= axis < len(tensor.shape) or not len(scales) == len(zeros) == tensor.shape[axis]:
                raise TensorError(
                    f"{len(scales)} scales and {len(zeros)} zero points for axis {axis} of {list(tensor.shape)}",
                    expected="one of each for every slice",
                )
            made = torch._empty_per_channel_affine_quantized(
                tensor.shape, scales=scales, zero_points=zeros, axis=axis, dtype=dtype
            )
        held = got["packed"] if "packed" in got else got["int_repr"]
        storage = torch.storage.TypedStorage(wrap_storage=held.untyped_storage(), dtype=dtype, _internal=True)
        if "packed" in got:  # rows begin in bytes of their own: only a whole tensor has such a storage
            made.set_(storage, held.storage_offset(), tensor.shape, made.stride())
        else:
            made.set_(storage, held.storage_offset(), held.shape, held.stride())
        return made


def _check_nested(got: dict[str, Any]) -> None:
    """Hold every tensor of a nested one against the buffer; torch's constructor does not."""
    numel = got["values"].numel()
    sizes, strides, offsets = (got[name].tolist() for name in ("sizes", "strides", "storage_offsets"))
    for shape, stride, offset in zip(sizes, strides, offsets, strict=True):
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if min((offset, *shape, *stride), default=0) < 0 or (0 not in shape and last >= numel):
            raise TensorError(f"a nested tensor of shape {shape} at {offset}", expected=f"at most {numel} elements")


def _own_storage(torch: Any, storage: Storage, start: int, end: int) -> Any:
    """The untyped storage that is bytes `start` to `end` themselves; None where they are not to be had like that."""
    memory = storage.source().memory_range(start, end - start) if storage.little_endian else None
    if not memory:
        return None
    made = torch.frombuffer(memory, dtype=torch.uint8).untyped_storage()
    return made if made.data_ptr() % _ALIGNED == 0 else None


def _bytes_as_storage(torch: Any, tensor: Tensor, start: int, end: int) -> Any:
    """Read bytes `start` to `end` of the tensor's storage into a new untyped storage."""
    storage: Storage = tensor.storage
    source = storage.source()
    check_expansion(end - start, storage.free_nbytes, storage.most_nbytes)
    if storage.little_endian:
        flat_bytes = torch.empty(end - start, dtype=torch.uint8)  # aligned as all of torch's memory is
        whole = memoryview(flat_bytes.numpy())
        step = 1 << 22
        for at in range(start, end, step):
            whole[at - start : min(at + step, end) - start] = source.view_at(at, min(step, end - at))
        return flat_bytes.untyped_storage()
    width = tensor.dtype.itemsize
    if start % width or (end - start) % width:
        raise TensorError("a big-endian storage that is viewed with several element sizes")
    flat = Tensor(tensor.dtype, ((end - start) // width,), (1,), start // width, storage)
    swapped = bytearray(b"".join(packed_chunks(flat)))
    return torch.frombuffer(swapped, dtype=torch.uint8).untyped_storage()
