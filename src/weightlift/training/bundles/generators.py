"""States of the global random generators, under the names that training programs give them."""

from __future__ import annotations

from collections.abc import Mapping

from ...typed import Any
from .base import Item
from .roles import is_generator_state

_NAMES = {
    "python": ("python", "py", "random", "python_rng_state", "python_random_state", "random_rng_state", "random_state"),
    "numpy": ("numpy", "np", "numpy_rng_state", "np_rng_state", "numpy_random_state", "numpy_random_seed"),
    "cpu": ("cpu", "torch", "torch_rng_state", "rng_state", "cpu_rng_state", "torch_manual_seed", "torch_random_state"),
    "cuda": ("cuda", "torch.cuda", "cuda_rng_state", "cuda_rng_states", "torch_cuda_rng_state", "cuda_rng_state_all",
             "torch_cuda_manual_seed"),
}  # fmt: skip
"""Generator -> what its state is called; `random_state` and the seeds are accelerate's."""

_WORDS = 625
"""Of a Mersenne twister of Python: its 624 words and the place in them."""


def states_in(held: Mapping[Any, Any]) -> dict[str, Any]:
    """Return generator -> its state, of the entries of a dict that are states."""
    found: dict[str, Any] = {}
    for generator, names in _NAMES.items():
        for name in names:
            state = held.get(name)
            if state is not None and _IS_STATE[generator](state):
                found.setdefault(generator, name)
    return found


def is_complete(found: Mapping[str, Any]) -> bool:
    """Whether Python's and torch's are there: without both, `rng=True` could not be set to where it was."""
    return "python" in found and "cpu" in found


def generators(held: Mapping[Any, Any], path: tuple[Any, ...]) -> tuple[Item | None, list[Any], list[str]]:
    """Return (the part `rng`, the keys that are in it, notes); (None, ...) where a state is missing."""
    found = states_in(held)
    if not is_complete(found):
        return None, [], []
    torch: dict[str, Any] = {"cpu": held[found["cpu"]]}
    notes = []
    if "cuda" in found:
        state = held[found["cuda"]]
        torch["cuda"] = state if isinstance(state, list | tuple) else [state]
        if torch["cuda"] and state is not torch["cuda"]:
            notes.append("rng: the state of one CUDA device is there, and taken as that of the first")
        torch["cuda"] = list(torch["cuda"])
    states = {"python": held[found["python"]]}
    if "numpy" in found:
        states["numpy"] = held[found["numpy"]]
    return Item("rng", {**states, "torch": torch}, path, "rng"), list(found.values()), notes


def _is_python(state: Any) -> bool:
    return (
        isinstance(state, tuple)
        and len(state) == 3
        and state[0] == 3
        and isinstance(state[1], tuple)
        and len(state[1]) == _WORDS
    )


def _is_numpy(state: Any) -> bool:
    return isinstance(state, tuple) and len(state) == 5 and state[0] == "MT19937"


def _is_cuda(state: Any) -> bool:
    return is_generator_state(state) or (
        isinstance(state, list | tuple) and bool(state) and all(is_generator_state(each) for each in state)
    )


_IS_STATE = {"python": _is_python, "numpy": _is_numpy, "cpu": is_generator_state, "cuda": _is_cuda}
