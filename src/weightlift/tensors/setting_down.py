"""Setting torch tensors down in a live module, all or nothing, and taking them back again.

To be taken back, what was there has to be somewhere. A copy of it costs the module's memory again; where a value is
memory that nobody needs afterwards, the two exchange their bytes instead, and the value is that copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from ..errors import PlanError, WeightliftError
from ..typed import Any
from .lazy import is_dense
from .torch_memory import View
from .torch_modules import ModuleTarget, Slot

_EXCHANGED = 32_768  # elements at once: they stay in the cache, and torch copies so many without waking other threads


class SetDown:
    """What has been set down in a module, and how to take it back."""

    def __init__(self) -> None:
        self.replaced: dict[int, Any] = {}
        """The tensors that new ones stand in for, by their id."""
        self._back: list[Callable[[], object]] = []

    def undo(self) -> None:
        """Make the module exactly as it was. Ctrl-C waits until it is."""
        import torch

        with torch.no_grad(), _uninterrupted():
            while self._back:
                self._back[-1]()
                self._back.pop()

    def keep(self) -> None:
        """Let go of what is needed to undo it: copies of old values, if any."""
        self._back.clear()


def set_down(
    target: ModuleTarget,
    values: Mapping[str, Any],
    *,
    assign: bool,
    step: Callable[[str], object] = str,
    spend: bool = False,
) -> SetDown:
    """Put torch tensors into a module. After any error the module is exactly as it was.

    In place, a copy of each old value is kept until `keep` is called or the result is dropped. With `spend` the
    values are memory that nobody else uses and that may hold anything afterwards: where one lies in memory as its
    target does, the old value is put there, and no copy is made. `step` is told each name before it is set. Several
    modules are set all or none by calling `undo` on the results so far when one raises.

    Raises:
        PlanError: a tensor that cannot be written in place.
    """
    import torch

    run = _Setting(target, values if spend else {})
    try:
        with torch.no_grad():
            for key, value in values.items():
                step(key)
                slot = target.slots[key]
                try:
                    if assign or slot.tensor.device.type == "meta" or slot.shape is None:
                        run.replace(slot, value)
                    else:
                        run.copy_in(slot, value)
                except WeightliftError as error:
                    error.at(repr(key))
                    raise
    except BaseException:
        run.done.undo()
        raise
    return run.done


class _Setting:
    """Tensors being set, how to undo it, and what has been replaced so far."""

    def __init__(self, target: ModuleTarget, spent: Mapping[str, Any]) -> None:
        self.done = SetDown()
        self._homes: dict[View, list[Slot]] = {}  # every place of a view: tied weights have several
        self._taken: set[int] = set()
        # a value for several names is needed again after it has been set
        self._uses = Counter(_place(value) for value in spent.values())
        for slot in target.slots.values():
            self._homes.setdefault(slot.view, []).append(slot)

    def replace(self, slot: Slot, value: Any) -> None:
        """Hang the new value wherever the old one hangs, so that ties stay ties: of objects, and of memory."""
        import torch

        old = slot.tensor
        if id(old) in self.done.replaced:
            return
        value = _laid_out(value, None if slot.shape is None else old)
        if value.data_ptr() in self._taken:  # one value for two that are not tied: each needs its own memory
            value = value.clone()
        if value.numel():
            self._taken.add(value.data_ptr())
        new: dict[int, Any] = {}
        for home in self._homes[slot.view]:
            old = home.tensor
            if id(old) not in new:
                new[id(old)] = torch.nn.Parameter(value, old.requires_grad) if home.is_parameter else value
            self.done.replaced[id(old)] = old
            self.done._back.append(partial(home.table.__setitem__, home.name, old))  # noqa: SLF001
            home.table[home.name] = new[id(old)]

    def copy_in(self, slot: Slot, value: Any) -> None:
        """Copy into the memory that is there, in the order that it has."""
        tensor = slot.tensor.detach()
        if any(step == 0 and size > 1 for size, step in zip(tensor.shape, tensor.stride(), strict=True)):
            raise PlanError("an expanded tensor: its elements share memory", remedy="load with assign=True")
        if self._uses[_place(value)] == 1 and _lie_alike(tensor, value):
            exchange = _Exchange(tensor, value)
            self.done._back.append(exchange.undo)  # noqa: SLF001
            exchange.run()
        else:
            self.done._back.append(partial(tensor.copy_, tensor.clone()))  # noqa: SLF001
            tensor.copy_(value)


class _Exchange:
    """Two tensors that exchange their bytes piece by piece, and can go back from wherever they are."""

    def __init__(self, old: Any, new: Any) -> None:
        self._old, self._new = (each.as_strided((each.numel(),), (1,), each.storage_offset()) for each in (old, new))
        self._at: tuple[int, Any] = 0, None  # all before this is exchanged; what was there of the piece in work

    def run(self) -> None:
        for start in range(0, len(self._old), _EXCHANGED):
            old, new = self._old[start : start + _EXCHANGED], self._new[start : start + _EXCHANGED]
            held = old.clone()
            self._at = start, held
            old.copy_(new)
            new.copy_(held)
        self._at = len(self._old), None

    def undo(self) -> None:
        done, held = self._at
        if held is not None:
            self._old[done : done + len(held)].copy_(held)
        self._old[:done].copy_(self._new[:done])


def _place(value: Any) -> int:
    """The memory that a value lies in; 0 where it has none of its own."""
    return int(value.untyped_storage().data_ptr()) if _is_plain(value) else 0


def _is_plain(tensor: Any) -> bool:
    import torch

    kind = type(tensor) is torch.Tensor and tensor.layout == torch.strided
    return bool(kind and tensor.device.type == "cpu" and not tensor.is_quantized and not tensor.is_nested)


def _lie_alike(old: Any, new: Any) -> bool:
    """Whether two tensors are the same but for their values, in memory without gaps that they do not share."""
    if not _is_plain(old) or not old.numel() or (old.dtype, old.shape, old.stride()) != (
        new.dtype, new.shape, new.stride(),
    ):  # fmt: skip
        return False
    if not is_dense(old.shape, old.stride()):
        return False
    bits_differ = old.is_conj() or old.is_neg() or new.is_conj() or new.is_neg()
    return not bits_differ and _place(old) != _place(new)


def _laid_out(value: Any, like: Any) -> Any:
    """The value in memory of its own, in the order of the tensor that it replaces (rows first where it has none)."""
    import torch

    shaped = torch.empty(value.shape, device="meta") if like is None else torch.empty_like(like, device="meta")
    if value.stride() == shaped.stride() and value.untyped_storage().nbytes() == value.numel() * value.element_size():
        return value
    return torch.empty_strided(value.shape, shaped.stride(), dtype=value.dtype, device=value.device).copy_(value)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Have signals that Python handles wait until this is over; only the main thread can be interrupted by them."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    handled = {each: handler for each, handler in handlers.items() if callable(handler)}
    for each in handled:
        signal.signal(each, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        for each, handler in handled.items():
            signal.signal(each, handler)
        for number in waiting:
            signal.raise_signal(number)
