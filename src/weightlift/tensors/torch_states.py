"""Whole state dicts of live modules, for what is more than plain tensors: extra state, packed and sparse parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

from ..dtypes import DType
from ..errors import PlanError, UnsupportedError
from ..typed import Any

INSIDE = {
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
}
"""Wrappers that put a word before every name -> where the module is that they wrap."""


def unwrapped(module: Any) -> Any:
    """Return the module inside of DataParallel, DistributedDataParallel and `torch.compile`, one inside another too.

    What they add to names says how a run computes; a checkpoint is of the model.
    """
    while True:
        kinds = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__)
        inside = next((INSIDE[kind] for kind in kinds if kind in INSIDE), "")
        if not inside:
            return module
        module = getattr(module, inside)


def _copied(value: Any) -> Any:
    try:
        return deepcopy(value)
    except NotImplementedError:  # torch's deepcopy has no word for compressed sparse tensors
        return value.detach().clone()


def set_state(module: Any, state: Mapping[str, Any], versions: Any, name: str) -> Callable[[], object]:
    """Hand a whole state dict to a module, and return what puts the old one back; after an error it is back.

    Entries that are missing stay as they are.

    Raises:
        PlanError: the module does not take it.
    """
    from collections import OrderedDict

    held = module.state_dict()
    before = OrderedDict((key, _copied(value)) for key, value in held.items())
    if hasattr(held, "_metadata"):
        before._metadata = deepcopy(held._metadata)  # type: ignore[attr-defined] # noqa: SLF001 - as below

    def back() -> None:
        module.load_state_dict(before)

    given = OrderedDict(state)
    if versions is not None:
        given._metadata = OrderedDict(versions)  # type: ignore[attr-defined] # noqa: SLF001 - where it looks for it
    try:
        result = module.load_state_dict(given, strict=False)
        if result.unexpected_keys:
            raise PlanError(f"it does not know {result.unexpected_keys[:6]}")
    except BaseException as error:
        back()
        if isinstance(error, Exception):
            raise PlanError(f"it does not take the state: {error}", expected="the saved kind", where=name) from error
        raise
    return back


def torch_dtype(dtype: DType) -> Any:
    """Return torch's element type of ours.

    Raises:
        UnsupportedError: this torch has none.
    """
    import torch

    found = getattr(torch, dtype.name, None)
    if not isinstance(found, torch.dtype):
        raise UnsupportedError(f"this torch has no {dtype}", remedy="use a newer torch")
    return found


def empty_like(live: Any, dtype: DType) -> Any:
    """Return new memory laid out like a live tensor, in shards where that is, for elements of a type."""
    import torch

    return torch.empty_like(live.detach(), dtype=torch_dtype(dtype))
