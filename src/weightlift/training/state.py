"""What a training run consists of, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..errors import UnsupportedError, shown
from ..typed import Any


class TrainState(Mapping[str, Any]):
    """The parts of a training run: live objects, which are read and filled, and plain values.

    >>> run = wl.TrainState(model=model, optimizer=optimizer, scheduler=scheduler, rng=True, meta={"epoch": 3})

    A part may be a module, an optimizer, a random generator, anything with `state_dict` and `load_state_dict`,
    a list or dict of these, or plain data. `rng=True` stands for the global generators of Python, numpy and torch.
    A part that is None (no scaler without AMP) is none. After a resume, plain data is what was saved.
    """

    __slots__ = ("parts",)

    parts: dict[str, Any]

    def __init__(self, **parts: Any) -> None:
        if "parts" in parts:
            raise UnsupportedError("a part called 'parts'", remedy="give it another name")
        if not isinstance(parts.get("rng"), bool | None):
            raise UnsupportedError(f"rng={shown(parts['rng'], 40)}", expected="True or False")
        named = {name: part for name, part in parts.items() if part is not None and not (name == "rng" and not part)}
        object.__setattr__(self, "parts", named)

    def __getitem__(self, name: str) -> Any:
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.parts[name]
        except KeyError:
            raise AttributeError(f"no part {name!r}; there are: {', '.join(self.parts)}") from None

    def __setattr__(self, name: str, part: Any) -> None:
        self.parts[name] = part

    def __repr__(self) -> str:
        return f"TrainState({', '.join(f'{name}={type(part).__name__}' for name, part in self.parts.items())})"


def as_state(given: TrainState | Mapping[str, Any]) -> TrainState:
    """Return a run; of a mapping, its items are the parts.

    Raises:
        UnsupportedError: it is neither, or has no part.
    """
    if not isinstance(given, Mapping):
        raise UnsupportedError(f"a {type(given).__name__}", expected="a TrainState", remedy="TrainState(model=model)")
    state = given if isinstance(given, TrainState) else TrainState(**given)
    if not state:
        raise UnsupportedError("a run without parts", remedy="give at least model=")
    return state
