"""Where a new model first parts from an old one: module by module, in the order in which they are done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..tensors.torch_differences import difference
from ..tensors.torch_forward import Step
from ..typed import Any
from .resolve import Resolution


def first_diverging(old: Sequence[Step], new: Sequence[Step], tolerance: float) -> str | None:
    """Return the first new module whose output has no equal in the old model, while its first input has one.

    Only outputs that have a shape in common with an output of the old model can be told; what a fused layer gives
    has no counterpart. Nor has what is inside a module whose own output has an equal. Where every input differs, it
    is the first whose output does.
    """
    given = _Known((tensor for step in old for tensor in (*step.inputs, *step.outputs)), tolerance)
    made = _Known((tensor for step in old for tensor in step.outputs), tolerance)
    agreeing = {step.module for step in new if step.outputs and all(map(made.has, step.outputs))}
    diverging = [
        step
        for step in new
        if any(made.comparable(tensor) and not made.has(tensor) for tensor in step.outputs)
        and not any(step.module != other and is_inside(step.module, other) for other in agreeing)
    ]
    fed_alike = [step for step in diverging if not step.inputs or given.has(step.inputs[0])]
    return next((step.module for step in (*fed_alike, *diverging)), None)


class _Known:
    """Tensors of the old model, by their sizes but those of 1: positions may be held with a batch of one or without."""

    def __init__(self, tensors: Iterable[Any], tolerance: float) -> None:
        self.tolerance = tolerance
        self.by_sizes: dict[tuple[int, ...], list[Any]] = {}
        for tensor in tensors:
            self.by_sizes.setdefault(_sizes(tensor), []).append(tensor.squeeze())

    def comparable(self, tensor: Any) -> bool:
        return _sizes(tensor) in self.by_sizes

    def has(self, tensor: Any) -> bool:
        alike = self.by_sizes.get(_sizes(tensor), ())
        return any(difference(known, tensor.squeeze()) <= self.tolerance for known in alike)


def _sizes(tensor: Any) -> tuple[int, ...]:
    return tuple(size for size in tensor.shape if size != 1)


def is_inside(name: str, module: str) -> bool:
    """Whether a module or tensor is a module of that name, or in it."""
    return not module or name == module or name.startswith(f"{module}.")


def held_by(done: Sequence[str], resolution: Resolution) -> dict[str, set[int]]:
    """Return module -> the lines of the rules that fill it.

    What a tensor lies in is the innermost module that was called: some read what their parts hold.
    """
    out: dict[str, set[int]] = {}
    called = set(done)
    for key, made in resolution.made.items():
        at = key.rpartition(".")[0]
        while at and at not in called:
            at = at.rpartition(".")[0]
        out.setdefault(at, set()).update(piece.rule.line for piece in made.pieces)
    return out


def filling(module: str, held: Mapping[str, set[int]]) -> set[int]:
    """Return the lines that fill a module itself, or where it has no tensors of its own, its parts."""
    return held.get(module) or set().union(*(lines for at, lines in held.items() if is_inside(at, module)))
