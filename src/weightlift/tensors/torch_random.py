"""The global random generators of torch, and generators of its own class."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import PlanError
from ..typed import Any


def global_states() -> dict[str, Any]:
    """Return the states of torch's global generators: "cpu", and those of each accelerator that has been used."""
    import torch

    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_global_states(states: Mapping[str, Any]) -> list[str]:
    """Set the generators; return what could not be set on this machine.

    Raises:
        PlanError: a state that torch does not take.
    """
    import torch

    left = []
    try:
        torch.set_rng_state(states["cpu"])
        if "cuda" in states:
            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
            for device, state in enumerate(states["cuda"][:count]):
                torch.cuda.set_rng_state(state, device)
            if count < len(states["cuda"]):
                left.append(f"the generators of {len(states['cuda']) - count} CUDA devices, of which here are {count}")
        if "mps" in states:
            if torch.backends.mps.is_available():
                torch.mps.set_rng_state(states["mps"])
            else:
                left.append("the generator of MPS, which is not here")
    except (RuntimeError, TypeError) as error:
        raise PlanError(f"torch does not take the state of a generator: {error}") from None
    return left


def is_generator(value: Any) -> bool:
    """Whether a value is a torch.Generator, without importing torch where it is none."""
    return type(value).__module__ == "torch._C" and type(value).__name__ == "Generator"
