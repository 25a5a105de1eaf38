"""Real checkpoints: no false alarm, and `inspect` and a scan say the same of each."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

import weightlift as wl
from weightlift.scans import scan_source
from weightlift.sources import LocalFile

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("WEIGHTLIFT_CORPUS", ROOT / ".corpus"))


def expected() -> dict[str, bool]:
    """Name -> whether torch loads the file with weights_only=True."""
    records = tomllib.loads((ROOT / "tools/checkpoints.toml").read_text())["checkpoint"]
    found = {record["name"]: bool(record.get("weights_only")) for record in records}
    for manifest in (FOLDER / "manifest.json", FOLDER.parent / "manifest.json"):
        if manifest.exists():
            files = json.loads(manifest.read_text())["files"]
            found |= {record["name"]: record.get("weights_only") == "ok" for record in files}
    return found


EXPECTED = expected()
FILES = sorted(p for p in FOLDER.glob("*") if p.name in EXPECTED) if FOLDER.is_dir() else []


@pytest.mark.skipif(not FILES, reason="no real checkpoints here: make corpus")
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_real_files(path):
    """What torch loads by itself is clean, no file is dangerous, and `inspect` says the same."""
    found = scan_source(LocalFile(path))
    assert found.verdict in ("clean", "unknown"), found.evidence
    if EXPECTED[path.name]:
        assert found.verdict == "clean", found.evidence
    assert found.verdict == wl.inspect(path).safety.verdict
    assert found.pickle_nbytes <= path.stat().st_size
