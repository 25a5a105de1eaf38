"""Which live tensors are the same memory: weights are tied by it, whatever the objects that hold it."""

from __future__ import annotations

from collections.abc import Mapping

from ..typed import Any
from ..values import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """A strided view of memory: equal for views of the same elements in the same order.

    `space` is the device, or where there are no addresses (meta), the storage; `start` is in bytes, `stride` in
    elements, 0 where there is one. Of what has no memory of its own, `space` is the object's id and the rest empty.
    """

    space: object
    start: int = 0
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    itemsize: int = 0
    read_as: object = None
    """The dtype, and whether elements are read conjugated or negated."""

    @property
    def stop(self) -> int:
        """Last-plus-one byte that the elements touch."""
        last = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        return self.start + (last + 1) * self.itemsize


def view_of(tensor: Any, otherwise: int) -> View:
    """Return the view that a tensor is; `otherwise` stands for one without elements, or without a storage."""
    if tensor is None or not tensor.numel():
        return View(otherwise)
    try:
        storage = tensor.untyped_storage()
        address = tensor.data_ptr()
    except RuntimeError:  # sparse tensors and wrappers
        return View(otherwise)
    itemsize = tensor.element_size()
    on_meta = tensor.device.type == "meta"
    if not on_meta and not address:
        return View(otherwise)
    space = storage._cdata if on_meta else str(tensor.device)  # noqa: SLF001 - meta storages have no other identity
    start = tensor.storage_offset() * itemsize if on_meta else address
    stride = tuple(step if size > 1 else 0 for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    read_as = (tensor.dtype, tensor.is_conj(), tensor.is_neg())
    return View(space, start, tuple(tensor.shape), stride, itemsize, read_as)


def overlapping(views: Mapping[str, View]) -> tuple[str, str] | None:
    """Return the names of two different views that have bytes in common, or None."""
    spaces: dict[object, list[str]] = {}
    for key, view in views.items():
        if view.itemsize:
            spaces.setdefault(view.space, []).append(key)
    for keys in spaces.values():
        before: list[str] = []
        for key in sorted(keys, key=lambda key: views[key].start):
            before = [other for other in before if views[other].stop > views[key].start]
            for other in before:
                if _have_common(views[other], views[key]):
                    return other, key
            before.append(key)
    return None


def _have_common(one: View, other: View) -> bool:
    """Whether an element is in both of two views whose extents meet: columns side by side have none in common."""
    import torch

    start, size = min(one.start, other.start), one.itemsize
    if other.itemsize != size or (other.start - one.start) % size:
        return True
    seen = torch.zeros((max(one.stop, other.stop) - start) // size, dtype=torch.bool, device="cpu")
    first, second = (seen.as_strided(each.shape, each.stride, (each.start - start) // size) for each in (one, other))
    first.fill_(value=True)
    return bool(second.any())
