"""Live tensors and arrays as lazy ones: a view of the memory they are in, aliases kept, nothing lost."""

from __future__ import annotations

from collections.abc import Mapping

from ..dtypes import DTYPES, dtype_named
from ..errors import UnsupportedError, shown
from ..typed import Any
from .computed import Computed
from .lazy import AnyTensor, Composite, Role, Storage, Tensor, contiguous
from .live_layouts import composite_of
from .live_memory import ArrayMemory, TorchMemory

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_ORDINARY = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")

_MOST_BYTES = 1 << 30  # of a view, where its storage has fewer


class LiveTensors:
    """Lazy tensors of live ones over many calls: what shares a storage shares it, whichever call it came in.

    `flatten` names further tensor subclasses ("package.module.Class") that are wholly told by their
    `__tensor_flatten__`. Holds on to every storage that it has seen.
    """

    def __init__(self, flatten: tuple[str, ...] = ()) -> None:
        self._flatten = flatten
        self._storages: dict[tuple[object, ...], tuple[Any, Storage]] = {}

    def lazy(self, name: str, value: Any) -> AnyTensor | Computed:
        """Return the lazy tensor of a torch tensor or numpy array; a lazy one as it is. Copies nothing.

        `name` is for messages. Sparse, quantised, nested and wrapping tensors become a `Composite`.

        Raises:
            UnsupportedError: none of these, or a tensor whose values cannot be had here.
        """
        if isinstance(value, Tensor | Composite | Computed):
            return value
        if hasattr(value, "untyped_storage"):
            return self._from_torch(name, value)
        if is_live(value):
            return self._from_numpy(name, value)
        raise UnsupportedError(f"{name!r} is {shown(value, 60)}", expected="a torch tensor, an array or a lazy tensor")

    def _from_numpy(self, name: str, value: Any) -> Tensor:
        import numpy as np

        if isinstance(value, np.ma.MaskedArray):
            raise UnsupportedError(f"{name!r} is a masked array", remedy="give its .data and its .mask")
        array = np.ascontiguousarray(value)
        if array.dtype.kind in "iufc":  # the bytes are taken as little-endian
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        dtype = DTYPES.get(array.dtype.name)
        if dtype is None:
            raise UnsupportedError(f"{name!r} is an array of {array.dtype}", expected="numbers or booleans")
        flat: Any = array.reshape(-1).view(np.uint8)
        key = ("array", flat.ctypes.data, flat.nbytes)
        if not flat.nbytes or key not in self._storages:
            self._storages[key] = flat, _own(Storage(name, flat.nbytes, ArrayMemory(memoryview(flat), name)))
        return contiguous(dtype, value.shape, self._storages[key][1], role="array")

    def _from_torch(self, name: str, value: Any) -> AnyTensor:
        import torch

        if torch.nn.parameter.is_lazy(value):
            raise UnsupportedError(f"{name!r} has no shape yet", remedy="run the lazy module once first")
        if value.layout == torch._mkldnn:  # noqa: SLF001
            value = value.detach().to_dense().requires_grad_(value.requires_grad)
        composite = composite_of(name, value, self._plain, self._flatten)
        return self._plain(name, value) if composite is None else composite

    def _plain(self, name: str, value: Any) -> Tensor:
        """The strided tensor; of a quantised one, its integers with the quantised type."""
        try:
            held = value.untyped_storage()
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            tensor = value.detach()
            return Tensor(
                dtype_named(str(tensor.dtype).removeprefix("torch.")),
                tuple(tensor.shape),
                tuple(tensor.stride()),
                tensor.storage_offset(),
                self._storage(name, held),
                role_of(value),
                requires_grad=value.requires_grad,
                conj=tensor.is_conj(),
                neg=tensor.is_neg(),
                class_name="" if kind in _ORDINARY else kind,
            )
        except (RuntimeError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            raise UnsupportedError(
                f"{name!r} is a {type(value).__qualname__} on {value.device} without memory of its own ({reason:.120})",
                remedy="give an ordinary tensor of its values",
            ) from None

    def _storage(self, name: str, held: Any) -> Storage:
        import torch

        nbytes = held.nbytes()
        if held.device.type == "meta":
            key: tuple[object, ...] = ("meta", held._cdata)  # noqa: SLF001 - there are no addresses
            made = self._storages.get(key) or (held, Storage(name, nbytes, device="meta", absent="meta"))
            return self._storages.setdefault(key, made)[1]
        key = (str(held.device), held.data_ptr(), nbytes) if nbytes else ("empty", held._cdata)  # noqa: SLF001
        if key not in self._storages:
            flat = torch.empty(0, dtype=torch.uint8, device=held.device).set_(held, 0, (nbytes,), (1,))
            self._storages[key] = held, _own(Storage(name, nbytes, TorchMemory(flat, name), device=str(held.device)))
        return self._storages[key][1]


def _own(storage: Storage) -> Storage:
    """What is in memory already is no stranger's: it may be expanded further than what a file holds."""
    storage.most_nbytes = _MOST_BYTES
    return storage


def role_of(value: Any) -> Role:
    """Return whether a live torch tensor is a parameter, a buffer or neither."""
    import torch

    if isinstance(value, torch.nn.Parameter):
        return "parameter"
    return "buffer" if getattr(value, "_is_buffer", False) is True else "tensor"


def lazy_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return lazy tensors for a mapping of torch tensors, numpy arrays or lazy tensors; plain data stays.

    Raises:
        UnsupportedError: a value that is none of these, by its name, or a name that is no text.
    """
    odd = next((key for key in values if not isinstance(key, str)), "")
    if odd != "":
        raise UnsupportedError(f"the name {shown(odd, 60)}", expected="names that are texts")
    live = LiveTensors()
    return {key: value if _is_plain(value) else live.lazy(key, value) for key, value in values.items()}


def with_lazy(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same with torch tensors and numpy arrays as lazy tensors; whatever else is there stays."""
    live = LiveTensors()
    return {key: live.lazy(key, value) if is_live(value) else value for key, value in values.items()}


def is_live(value: Any) -> bool:
    """Whether a value is a torch tensor or a numpy array (or has the interface of one)."""
    return hasattr(value, "untyped_storage") or hasattr(value, "__array_interface__")


def _is_plain(value: Any) -> bool:
    """Whether a value is data without tensors in it: the extra state of a module."""
    if isinstance(value, dict):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return type(value) in _PLAIN


def module_values(module: Any) -> tuple[dict[str, Any], Any]:
    """Return the state dict of a live module (not copied) and its `_metadata`."""
    held = module.state_dict(keep_vars=True)
    return dict(held), getattr(held, "_metadata", None)
