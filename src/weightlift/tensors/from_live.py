"""Live tensors and arrays as lazy ones: a view of the memory they are in, aliases kept."""

from __future__ import annotations

from collections.abc import Mapping

from ..dtypes import DTYPES, dtype_named
from ..errors import UnsupportedError, shown
from ..sources import Source
from ..typed import Any
from .computed import Computed
from .lazy import Composite, Role, Storage, Tensor, contiguous

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


class LiveMemory(Source):
    """Bytes of a live array or storage; what is written there later is read here later."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview, name: str) -> None:
        self._view = view
        self.name = name
        self.size = view.nbytes

    def _read(self, offset: int, nbytes: int) -> bytes:
        return bytes(self._view[offset : offset + nbytes])

    def view_at(self, offset: int, nbytes: int) -> bytes | memoryview:
        """A view of the live memory."""
        self._check(offset, nbytes)
        return self._view[offset : offset + nbytes]


def lazy_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return lazy tensors for a mapping of torch tensors, numpy arrays or lazy tensors; plain data stays.

    Raises:
        UnsupportedError: a value that is none of these, by its name, or a name that is no text.
    """
    odd = next((key for key in values if not isinstance(key, str)), "")
    if odd != "":
        raise UnsupportedError(f"the name {shown(odd, 60)}", expected="names that are texts")
    storages: dict[int, Storage] = {}
    return {key: _lazy(key, value, storages) for key, value in values.items()}


def with_lazy(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same with torch tensors and numpy arrays as lazy tensors; whatever else is there stays."""
    storages: dict[int, Storage] = {}
    return {key: _lazy(key, value, storages) if _is_live(value) else value for key, value in values.items()}


def lazy_value(name: str, value: Any, storages: dict[int, Storage]) -> Any:
    """Return the lazy form of one tensor or array; `storages` are those met so far, so that aliases stay.

    Raises:
        UnsupportedError: it has no such form; says what to do.
    """
    return _lazy(name, value, storages)


def _is_live(value: Any) -> bool:
    return hasattr(value, "untyped_storage") or hasattr(value, "__array_interface__")


def _lazy(key: str, value: Any, storages: dict[int, Storage]) -> Any:
    if isinstance(value, Tensor | Composite | Computed) or _is_plain(value):
        return value
    if hasattr(value, "untyped_storage"):
        return _from_torch(key, value, storages)
    if _is_live(value):
        return _from_numpy(key, value)
    raise UnsupportedError(f"{key!r} is {shown(value, 60)}", expected="a torch tensor, an array or a lazy tensor")


def _is_plain(value: Any) -> bool:
    """Whether a value is data without tensors in it: the extra state of a module."""
    if isinstance(value, dict):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return type(value) in _PLAIN


def _from_numpy(key: str, value: Any) -> Tensor:
    import numpy as np

    array = np.ascontiguousarray(value)
    if array.dtype.kind in "iufc":  # the bytes are taken as little-endian
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    dtype = DTYPES.get(array.dtype.name)
    if dtype is None:
        raise UnsupportedError(f"{key!r} is an array of {array.dtype}", expected="numbers or booleans")
    flat: Any = array.reshape(-1).view(np.uint8)
    view = memoryview(flat)
    return contiguous(dtype, value.shape, Storage(key, array.nbytes, LiveMemory(view, key)), role="array")


def _from_torch(key: str, value: Any, storages: dict[int, Storage]) -> Any:
    import torch

    if torch.nn.parameter.is_lazy(value):
        raise UnsupportedError(f"{key!r} has no shape yet", remedy="run the lazy module once first")
    if value.layout != torch.strided or value.is_quantized:
        raise UnsupportedError(f"{key!r} is a live {value.layout} tensor", remedy="take it from a saved file")
    role: Role = "parameter" if isinstance(value, torch.nn.Parameter) else "tensor"
    tensor = value.detach()
    held = tensor.untyped_storage()
    storage = storages.get(held._cdata) or storages.setdefault(held._cdata, _storage(key, held))  # noqa: SLF001
    return Tensor(
        dtype_named(str(tensor.dtype).removeprefix("torch.")),
        tuple(tensor.shape),
        tuple(tensor.stride()),
        tensor.storage_offset(),
        storage,
        role,
        requires_grad=value.requires_grad,
        conj=tensor.is_conj(),
        neg=tensor.is_neg(),
    )


def _storage(key: str, held: Any) -> Storage:
    import torch

    if held.device.type == "meta":
        return Storage(key, held.nbytes(), device="meta", absent="meta")
    on_cpu = held.cpu()
    flat = torch.empty(0, dtype=torch.uint8).set_(on_cpu, 0, (on_cpu.nbytes(),), (1,))
    view = memoryview(flat.numpy()) if on_cpu.nbytes() else memoryview(b"")
    return Storage(key, held.nbytes(), LiveMemory(view, key), device=str(held.device))


def module_values(module: Any) -> tuple[dict[str, Any], Any]:
    """Return the state dict of a live module (not copied) and its `_metadata`."""
    held = module.state_dict(keep_vars=True)
    return dict(held), getattr(held, "_metadata", None)
