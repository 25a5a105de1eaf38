"""A forward pass through a live model on random values; afterwards the model is exactly as it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from ..errors import PlanError
from ..typed import Any
from ..values import dataclass, field
from .torch_memory import View, view_of


class CannotRunError(PlanError):
    """A model that does not run on the inputs, or not in this precision."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a module was given and gave, in the order in which modules are done. Copies on the CPU."""

    module: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Forward:
    """The tensors of an output by their place in it, and the coarsest floating type that computed any of it."""

    outputs: dict[str, Any]
    eps: float
    dtype: str
    steps: list[Step] = field(default_factory=list)


@contextmanager
def lent(model: Any, *, wide: bool) -> Iterator[None]:
    """Put every tensor of a model into memory of its own, in eval mode; in the end all is as it was.

    The objects stay, since an LSTM and others hold them a second time; only their memory is exchanged, and the
    model's own is never written. Whatever a forward pass hangs onto the modules is taken off again. With `wide`,
    floating tensors are float64.

    Raises:
        CannotRunError: a tensor without values, or one that cannot be exchanged.
    """
    kept = [_Kept(module) for module in model.modules()]
    held = {id(tensor): tensor for each in kept for tensor in each.tensors}
    before: list[tuple[Any, Any]] = []
    fresh: dict[View, Any] = {}
    try:
        for tensor in held.values():
            data, view = tensor.data, view_of(tensor, id(tensor))
            if view not in fresh:
                fresh[view] = _copied(data, wide=wide)
            before.append((tensor, data))
            tensor.data = fresh[view]
        model.eval()
        yield
    finally:
        for each in kept:
            each.put_back()
        for tensor, data in before:
            tensor.data = data


class _Kept:
    """The attributes of a module, and what is in its tables and lists."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.attributes = dict(vars(module))
        self.tables = [(each, dict(each)) for each in self.attributes.values() if isinstance(each, dict)]
        self.lists = [(each, list(each)) for each in self.attributes.values() if isinstance(each, list)]

    @property
    def tensors(self) -> list[Any]:
        """The parameters and buffers that the module itself has."""
        tables = (self.module._parameters, self.module._buffers)  # noqa: SLF001 - where torch keeps them
        return [tensor for table in tables for tensor in table.values() if tensor is not None]

    def put_back(self) -> None:
        """Make the module what it was, but for the memory of its tensors."""
        vars(self.module).clear()
        vars(self.module).update(self.attributes)
        for table, entries in self.tables:
            table.clear()
            table.update(entries)
        for each, items in self.lists:
            each[:] = items


def _copied(data: Any, *, wide: bool) -> Any:
    import torch

    if torch.nn.parameter.is_lazy(data) or data.device.type == "meta":
        raise CannotRunError("a tensor without values", remedy="initialise the model first")
    if data.is_inference():
        raise CannotRunError("a tensor made in inference mode", remedy="make the model outside of it")
    try:
        return data.to(wider(data) if wide else data.dtype, copy=True)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise CannotRunError(f"a tensor that cannot be copied: {error}") from None


def wider(tensor: Any) -> Any:
    """Return the type of 64 bits for a floating or complex tensor, its own for any other."""
    import torch

    return torch.float64 if tensor.is_floating_point() else torch.complex128 if tensor.is_complex() else tensor.dtype


def randomise(model: Any, seed: int, *, keep: Collection[str] = ()) -> None:
    """Make every parameter and every saved floating buffer of a lent model random, but for those in `keep`.

    Weights keep the size of what passes through them; what has one dimension, and variances, lies in 0.5 to 1.5,
    since a scale may be divided by. Integers stay: they are positions and counts.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in _saved(model):
            if name not in keep and (tensor.is_floating_point() or tensor.is_complex()):
                tensor.copy_(_random(name, tensor, generator))


def _saved(model: Any) -> Iterator[tuple[str, Any]]:
    yield from model.named_parameters()
    for path, module in model.named_modules():
        for name, tensor in module._buffers.items():  # noqa: SLF001 - only here it is told which of them are saved
            if tensor is not None and name not in module._non_persistent_buffers_set:  # noqa: SLF001
                yield (f"{path}.{name}" if path else name), tensor


def _random(name: str, like: Any, generator: Any) -> Any:
    import torch

    shape = like.shape
    if len(shape) < 2 or "var" in name.rpartition(".")[2]:
        return torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    inputs = max(1, like.numel() // max(1, shape[0]))
    return torch.randn(shape, generator=generator, dtype=wider(like)) * (2 / inputs) ** 0.5


def disturb(tensor: Any, seed: int) -> None:
    """Write other random values into a tensor of a lent model."""
    import torch

    with torch.no_grad():
        tensor.copy_(_random("", tensor, torch.Generator().manual_seed(seed)))


def forward(model: Any, inputs: Any, *, wide: bool, seed: int, watch: bool = False) -> Forward:
    """Return what a lent model makes of inputs: a tensor, a tuple, a dict of keywords, or a callable of the model.

    With `watch`, also what every module was given and gave.

    Raises:
        CannotRunError: whatever the model raises.
    """
    import torch

    precision = _precision()
    steps: list[Step] = []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        stack.enter_context(torch.no_grad())
        torch.manual_seed(seed)  # a model that draws numbers draws the same ones on both sides
        for name, module in model.named_modules() if watch else ():
            handle = module.register_forward_hook(_watching(name, steps), with_kwargs=True)
            stack.callback(handle.remove)
        given = _widened(inputs) if wide else inputs
        try:
            with precision:
                made = _called(model, given)
        except Exception as error:
            raise CannotRunError(f"{type(model).__name__} does not run: {type(error).__name__}: {error}") from error
        return Forward(
            {path: _kept_value(tensor) for path, tensor in tensors_in(made)}, precision.eps, precision.dtype, steps
        )


def _called(model: Any, inputs: Any) -> Any:
    if isinstance(inputs, tuple):
        return model(*inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return inputs(model) if callable(inputs) else model(inputs)


def _watching(name: str, steps: list[Step]) -> Callable[..., None]:
    def hook(_: Any, args: Any, kwargs: Any, output: Any) -> None:
        given, made = (
            tuple(_kept_value(tensor) for _, tensor in tensors_in(each)) for each in ((args, kwargs), output)
        )
        steps.append(Step(name, given, made))

    return hook


def _kept_value(tensor: Any) -> Any:
    """A copy: modules that work in place write over what went before."""
    return tensor.detach().to("cpu", copy=True)


def _widened(value: Any) -> Any:
    """Inputs with their floating tensors as float64; what is no plain container stays as it is."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(wider(value))
    if type(value) in (list, tuple):
        return type(value)(map(_widened, value))
    return {key: _widened(item) for key, item in value.items()} if type(value) is dict else value


def tensors_in(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return (place, tensor) of every tensor in nested tuples, lists, mappings and dataclasses."""
    import torch

    if isinstance(value, torch.Tensor):
        yield path, value
        return
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    elif hasattr(type(value), "__dataclass_fields__"):
        items = ((name, getattr(value, name, None)) for name in type(value).__dataclass_fields__)
    for name, item in items:
        yield from tensors_in(item, f"{path}.{name}" if path else str(name))


def _precision() -> Any:
    """Return a mode that notes the coarsest type: a norm of a float64 model may well compute in float32."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Precision(TorchDispatchMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.eps, self.dtype = torch.finfo(torch.float64).eps, "float64"

        def __torch_dispatch__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            for each in made if isinstance(made, list | tuple) else (made,):
                if isinstance(each, torch.Tensor) and (each.is_floating_point() or each.is_complex()):
                    eps = torch.finfo(each.dtype).eps
                    if eps > self.eps:
                        self.eps, self.dtype = eps, str(each.dtype).removeprefix("torch.")
            return made

    return Precision()
