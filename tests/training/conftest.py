"""What the tests of stores share."""

from __future__ import annotations

import pytest

from weightlift.training import store

import stored_runs as stand_ins


@pytest.fixture
def stored_runs(monkeypatch):
    """Collecting, restoring and staging by stand-ins, so that stores are tested without torch."""
    monkeypatch.setattr(store, "_collect", stand_ins.collect)
    monkeypatch.setattr(store, "_restore", stand_ins.restore)
    monkeypatch.setattr(store, "_new_staging", stand_ins.Staging)
