"""A whole run, saved by the public calls: one checkpoint at a path, and a store under each rule of retention."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import weightlift as wl
from weightlift.errors import SourceError

from ..record import mark
from .scenario import Scenario, digest

WIDTHS = (24, 40, 16)  # elements of each layer's in- and outputs
NEEDS = ("torch",)


@functools.cache
def _trained(seed: int) -> dict[str, Any]:
    """Return the parts of a run after one step of training, all of which the seed determines."""
    import torch

    torch.manual_seed(seed)
    model = torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in itertools.pairwise(WIDTHS)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01 * seed)
    model(torch.randn(4, WIDTHS[0])).square().sum().backward()
    optimizer.step()
    return {"model": model, "optimizer": optimizer, "meta": {"seed": seed}}


def _run(seed: int) -> wl.TrainState:
    return wl.TrainState(**_trained(seed))


def _blank() -> dict[str, Any]:
    """Return parts to fill; they are the same objects again and again."""
    parts = dict(_trained(99))
    del parts["meta"]
    return parts


def _digest(parts: dict[str, Any]) -> str:
    values = {name: value.detach().numpy().tobytes() for name, value in parts["model"].state_dict().items()}
    state = parts["optimizer"].state_dict()
    for index, fields in state["state"].items():
        values |= {f"{index}.{name}": value.numpy().tobytes() for name, value in fields.items()}
    return digest(values | {"lr": repr(state["param_groups"][0]["lr"]).encode()})


# One checkpoint.


def _save(seed: int) -> Callable[[str], None]:
    return lambda folder: _done(wl.save(f"{folder}/a", **_trained(seed)))


def _done(_: object) -> None:
    """Drop what a save returns."""


def _resume(folder: str) -> str | None:
    parts = _blank()
    try:
        wl.resume(f"{folder}/a", **parts)
    except SourceError:
        return None
    return _digest(parts)


# A store.

Metrics = dict[str, float] | None


def _store(folder: str, **rule: Any) -> wl.CheckpointStore:
    return wl.CheckpointStore(f"{folder}/runs/x", **rule)


def _saves(
    *steps: int, losses: dict[int, float] | None = None, wait: bool = True, **rule: Any
) -> Callable[[str], None]:
    """Return what opens a store and saves steps, each of a run that its number determines."""

    def save(folder: str) -> None:
        with _store(folder, **rule) as store:
            for step in steps:
                metrics = {"loss": losses[step]} if losses else None
                saving = store.save(_run(step), step=step, metrics=metrics, wait=wait)
                saving.wait()

    return save


def _loop(*, wait: bool) -> Callable[[str], None]:
    """Return what saves four times in a row; each save has committed the one before it when it returns."""

    def save(folder: str) -> None:
        with _store(folder, keep=2) as store:
            for step in (2, 3, 4, 5):
                store.save(_run(step), step=step, wait=wait)
                if wait or step > 2:
                    mark("promised")

    return save


def _newest(folder: str) -> str | None:
    """What a run that is started anew goes on from."""
    parts = _blank()
    with _store(folder) as store:
        return None if store.resume(wl.TrainState(**parts), default=None) is None else _digest(parts)


def _newest_and_best(folder: str) -> str | None:
    """The same, and the best by the manifests."""
    parts = _blank()
    with _store(folder, keep=1, best="loss:min") as store:
        if store.resume(wl.TrainState(**parts), default=None) is None:
            return None
        newest = _digest(parts)
        store.load("best", into=wl.TrainState(**parts))
    return newest + _digest(parts)


LOSSES = {1: 0.2, 2: 0.1, 3: 0.4, 4: 0.05, 5: 0.3, 9: 0.01}
BEST = {"losses": LOSSES, "keep": 1, "best": "loss:min"}


def _of_store(title: str, before: Callable[[str], None], save: Callable[[str], None]) -> Scenario:
    return Scenario(title, before, save, _newest, NEEDS, again=_saves(9))


def _of_best(title: str, step: int) -> Scenario:
    before = _saves(1, 2, 3, losses=LOSSES)
    return Scenario(title, before, _saves(step, **BEST), _newest_and_best, NEEDS, again=_saves(9, **BEST))


def _nothing(folder: str) -> None:
    """Nothing was saved."""


def _saved_again(folder: str) -> None:
    """A run that went another way saves a step that is there."""
    with _store(folder) as store:
        store.save(_run(7), step=2)


A_RUN = {
    "save-first": Scenario("`wl.save`, the first", _nothing, _save(2), _resume, NEEDS, _save(3)),
    "save-again": Scenario("`wl.save` over another", _save(1), _save(2), _resume, NEEDS, _save(3)),
    "store-first": _of_store("`CheckpointStore.save`, the first", _nothing, _saves(1)),
    "store-next": _of_store("`CheckpointStore.save`, the next", _saves(1), _saves(2)),
    "store-again": _of_store("`CheckpointStore.save` of a step that is there", _saves(1, 2), _saved_again),
    "store-keep": _of_store("`keep=2`, three there", _saves(1, 2, 3), _saves(4, keep=2)),
    "store-best": _of_best("`best=`, the new one is the best", 4),
    "store-not-best": _of_best("`best=`, an older one stays the best", 5),
    "store-loop": _of_store("four saves, `keep=2`", _saves(1), _loop(wait=True)),
    "store-async-loop": _of_store("four saves, `wait=False`, `keep=2`", _saves(1), _loop(wait=False)),
    "store-async": _of_store("`wait=False`", _saves(1), _saves(2, wait=False)),
    "store-async-keep": _of_store(
        "`wait=False`, `keep=2`, three there", _saves(1, 2, 3), _saves(4, wait=False, keep=2)
    ),
}
