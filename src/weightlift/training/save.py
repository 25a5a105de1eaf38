"""Reading a run, and writing it as one checkpoint."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Mapping

from ..codec import Encoder
from ..errors import StateDictError, UnsupportedError, shown
from ..patterns import pattern
from ..tensors.torch_modules import ModuleTarget, is_module
from ..tensors.torch_states import unwrapped
from ..typed import Any
from ..values import dataclass
from ..writers.hashing import DEFAULT_HASH
from ..writers.step import WrittenStep, state_document, write_step
from .metrics import metric_values
from .parts import Reading, kind_of
from .parts.several import items_of
from .ranks import are_on
from .state import TrainState, as_state

TRAINABLE = "trainable"
Select = str | Iterable[str] | None


@dataclass(frozen=True, slots=True)
class Collected:
    """A run as it is to be written: lazy tensors by name, the document of every part, and what was left out."""

    tensors: Mapping[str, Any]
    document: Mapping[str, Any]
    parts: Mapping[str, str]
    """Part -> kind."""
    partial: tuple[str, ...]
    """Parts that were left out, whole or in part."""


def save(
    path: str | os.PathLike[str],
    *,
    step: int | None = None,
    metrics: Mapping[str, float] | None = None,
    select: Select = None,
    without: Iterable[str] = (),
    hash: str = DEFAULT_HASH,  # noqa: A002 - the word of the manifest
    progress: Callable[[int, int], None] | None = None,
    **parts: Any,
) -> WrittenStep:
    """Write the parts of a run as a checkpoint directory: no pickle, hashed, durable on return, whole or not at all.

    An older checkpoint at `path` stays until the new one is complete. For the parts see `TrainState`.

    Args:
        path: the directory to make.
        step: the number of the step, kept beside the parts.
        metrics: name -> number, likewise.
        select: of every module only the entries that fit these patterns (`"encoder.**"`), or `"trainable"`:
            parameters that require gradients, and buffers.
        without: parts of the run that are not written.
        hash: "xxh3", "blake3" or "sha256".
        progress: called with (bytes written, bytes in all).
        parts: model=, optimizer=, scheduler=, scaler=, ema=, data=, rng=True, meta=, or any other name.

    Raises:
        UnsupportedError: what cannot be written without pickle, all of it, each by its path; a step that is no number.
        StoreError: a metric that is no number.
        WriteError: the disk does not take it.
    """
    run = TrainState(**parts)
    number, values = None if step is None else _whole(step), metric_values(metrics)
    if are_on(run):
        from .ranks import saving

        options: dict[str, Any] = {"select": select, "without": without, "hash": hash, "progress": progress}
        return saving.save(path, run, step=number, metrics=values, **options)
    collected = collect(run, select=select, without=without)
    return write_step(
        path,
        collected.tensors,
        collected.document,
        step=number,
        metrics=values,
        parts=collected.parts,
        partial=collected.partial,
        hash=hash,
        progress=progress,
    )


def _whole(step: Any) -> int:
    """Return a step as a plain integer; those of numpy and torch are taken."""
    try:
        if not isinstance(step, bool):
            return operator.index(step)
    except (TypeError, ValueError, RuntimeError):  # what tensors of several elements raise is torch's business
        pass
    raise UnsupportedError(f"step={shown(step)}", expected="a whole number")


def collect(
    run: TrainState | Mapping[str, Any],
    *,
    select: Select = None,
    without: Iterable[str] = (),
    encoder: Encoder | None = None,
) -> Collected:
    """Return what is to be written of a run. Its tensors are views of live memory until they are written or staged.

    `encoder` takes the place of a new one.

    Raises:
        UnsupportedError: what cannot be written, or a part to leave out that is not there.
        StateDictError: a pattern that fits no entry.
    """
    state = as_state(run)
    left = [without] if isinstance(without, str) else list(without)
    unknown = [name for name in left if name not in state]
    if unknown:
        raise UnsupportedError(f"without={unknown}", expected=f"parts of the run: {', '.join(state)}")
    choice = _Choice(select)
    reading = Reading(encoder or Encoder(), parameter_names(state), choice)
    document: dict[str, Any] = {}
    for name, part in state.items():
        _check_name(name)
        if name not in left:
            kind = kind_of(name, part)
            document[name] = {"kind": kind.name, **kind.read(part, name, reading)}
    reading.encoder.check()
    choice.check()
    parts = {name: part["kind"] for name, part in document.items()}
    partial = (*left, *sorted(choice.cut))
    return Collected(reading.encoder.tensors, state_document(document), parts, partial)


def _check_name(name: str) -> None:
    if not name or "/" in name or not name.isprintable():
        raise UnsupportedError(f"a part called {name!r}", expected="a name without slashes")


class _Choice:
    """Which entries of modules are wanted, and whether each pattern fitted one."""

    def __init__(self, select: Select) -> None:
        texts = [select] if isinstance(select, str) else list(select or ())
        self.is_trainable = texts == [TRAINABLE]
        self.patterns = {} if self.is_trainable else {text: pattern(text) for text in texts}
        self.fitted: set[str] = set()
        self.cut: set[str] = set()

    def __call__(self, part: str, key: str, value: Any) -> bool:
        if self.is_trainable:
            wanted = not getattr(value, "is_leaf", True) or _is_trained(value)
        else:
            fitting = {text for text, each in self.patterns.items() if each.match(key) is not None}
            self.fitted |= fitting
            wanted = bool(fitting) or not self.patterns
        if not wanted:
            self.cut.add(part)
        return wanted

    def check(self) -> None:
        """Refuse a pattern that fitted nothing: it is a slip of the pen."""
        idle = [text for text in self.patterns if text not in self.fitted]
        if idle:
            raise StateDictError(f"pattern {idle[0]!r} fits no name", expected="at least one")


def _is_trained(value: Any) -> bool:
    """Whether an entry changes in training: a parameter that requires gradients, or no parameter at all."""
    return bool(getattr(value, "requires_grad", True)) or not _is_parameter(value)


def _is_parameter(value: Any) -> bool:
    return any(cls.__name__ == "Parameter" and cls.__module__ == "torch.nn.parameter" for cls in type(value).__mro__)


def parameter_names(state: Mapping[str, Any]) -> dict[int, str]:
    """Return the id of every parameter of every module of a run -> the name of its weight in the data files.

    What a module's hooks leave out of its state dict, or rename, has the name that `named_parameters` gives.
    """
    names: dict[int, str] = {}
    for name, module in modules_of(state).items():
        inside = unwrapped(module)
        slots = ModuleTarget(inside).slots
        held = [(key, slot.tensor) for key, slot in slots.items() if slot.is_parameter]
        for key, tensor in (*held, *inside.named_parameters(remove_duplicate=False)):
            names.setdefault(id(tensor), f"{name}/{key}")
    return names


def modules_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the modules of a run by name; those in lists and dicts of parts too."""
    found: dict[str, Any] = {}
    for name, part in state.items():
        if is_module(part):
            found[name] = part
        elif isinstance(part, list | tuple | Mapping) and kind_of(name, part).name == "several":
            found |= {f"{name}/{key}": item for key, item in modules_of(_texts(items_of(part))).items()}
    return found


def _texts(items: Mapping[Any, Any]) -> dict[str, Any]:
    return {key: item for key, item in items.items() if isinstance(key, str)}
