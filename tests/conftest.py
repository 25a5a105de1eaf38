"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

import weightlift as wl

from builders import torch_zip

settings.register_profile("weightlift", deadline=None)
settings.load_profile("weightlift")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes bytes under a name in a fresh folder."""

    def make(data: bytes, name: str = "model.pt") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return make


@pytest.fixture
def opened(write: Callable[..., Path]) -> Callable[..., wl.Checkpoint]:
    """Return a function that opens a torch zip around the given pickle."""

    def make(pickle: bytes, **members: bytes) -> wl.Checkpoint:
        return wl.open(write(torch_zip(pickle, members or None)))

    return make
