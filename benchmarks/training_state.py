"""A GPT-2 of a given size with the moments of AdamW, as live torch objects or as plain shapes.

Sizes: `full` is GPT-2 small, 124 million parameters and 1.5 GB with its moments; `quick` is 50 MB to try the
benchmark with; `small` is a model of 1 MB, saved alone. Weights are tied to nothing, since some of what is
compared writes tied weights twice and some refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# width, layers, rows of the vocabulary, positions
SIZES = {"full": (768, 12, 50257, 1024), "quick": (256, 4, 4096, 256), "small": (96, 2, 256, 64)}
MOMENTS = ("exp_avg", "exp_avg_sq")


def shapes(size: str) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every parameter, all float32."""
    width, layers, vocabulary, positions = SIZES[size]
    out: dict[str, tuple[int, ...]] = {"wte.weight": (vocabulary, width), "wpe.weight": (positions, width)}
    for i in range(layers):
        for name, *shape in (
            ("ln_1", width),
            ("attn.c_attn", 3 * width, width),
            ("attn.c_proj", width, width),
            ("ln_2", width),
            ("mlp.c_fc", 4 * width, width),
            ("mlp.c_proj", width, 4 * width),
        ):
            out[f"h.{i}.{name}.weight"] = tuple(shape)
            out[f"h.{i}.{name}.bias"] = (shape[0],)
    return {**out, "ln_f.weight": (width,), "ln_f.bias": (width,)}


@dataclass(slots=True)
class Live:
    """A torch model and, unless it is the small one, its AdamW."""

    model: Any
    optimizer: Any

    @property
    def parts(self) -> dict[str, Any]:
        """The live objects by name, as `weightlift.save` takes them."""
        return {"model": self.model} | ({"optimizer": self.optimizer} if self.optimizer else {})

    def state_dict(self) -> dict[str, Any]:
        """Return the state dicts of the parts, by name: what torch.save and DCP are given."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def tensors(self) -> Iterator[tuple[str, Any]]:
        """Yield every tensor that is there now, moments and counts of steps included."""
        yield from ((f"model/{name}", tensor) for name, tensor in self.model.state_dict().items())
        for name, parameter in self.model.named_parameters() if self.optimizer else ():
            for field, tensor in self.optimizer.state[parameter].items():
                yield f"optimizer/{name}/{field}", tensor

    def fill_moments(self, *, empty: bool = False) -> None:
        """Give the optimizer its moments, as steps taken would have left them, or without values."""
        import torch

        for parameter in self.model.parameters():
            first = torch.empty_like(parameter) if empty else parameter.detach() * 0.1
            second = torch.empty_like(parameter) if empty else first * first
            step = torch.tensor(0.0 if empty else 3.0)
            self.optimizer.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": second}

    def forget(self) -> None:
        """Leave what a restarted run has: other weights, and an optimizer without moments."""
        import torch

        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.zero_()
        if self.optimizer:
            self.optimizer.state.clear()

    def touch(self) -> None:
        """Read a byte of every page, so that what was only mapped is read from its file."""
        import torch

        for _, tensor in self.tensors():
            tensor.detach().reshape(-1).view(torch.uint8)[::4096].sum()

    def fingerprint(self) -> list[float]:
        """Return both ends of every tensor, names in order: equal for equal states, as far as that tells."""
        return [float(tensor.reshape(-1)[at]) for _, tensor in sorted(self.tensors()) for at in (0, -1)]


def live(size: str) -> Live:
    """Return a model of random weights, with an optimizer that has its moments unless the size is `small`."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Module()
    for name, shape in shapes(size).items():
        *path, last = name.split(".")
        place = model
        for step in path:
            if not hasattr(place, step):
                place.add_module(step, torch.nn.Module())
            place = getattr(place, step)
        setattr(place, last, torch.nn.Parameter(torch.empty(shape).normal_(std=0.02)))
    out = Live(model, None if size == "small" else torch.optim.AdamW(model.parameters(), lr=1e-4))
    if out.optimizer:
        out.fill_moments()
    return out
