"""What `inspect` and `extract` import: nothing heavy, so that they start as fast as Python does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from builders import torch_legacy, torch_zip

HEAVY = {
    "numpy",
    "torch",
    "ml_dtypes",
    "safetensors",
    "pickle",
    "tarfile",
    "zipfile",
    "asyncio",
    "typing",
    "dataclasses",
    "inspect",
    "argparse",
}
SLOW = {"json", "re"}
"""What `inspect` does without too; a safetensors header needs them."""
PROBE = """
import sys
before = set(sys.modules)
from weightlift.faces.cli import main
code = main({arguments!r})
print("MODULES", *sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
raise SystemExit(code)
"""


@pytest.mark.parametrize("data", [torch_zip(), torch_legacy()], ids=["zip", "legacy"])
def test_nothing_heavy_is_imported(write, tmp_path, data):
    """inspect and extract load neither numpy nor torch nor any other heavy module."""
    path = str(write(data))
    extracting = ["extract", path, str(tmp_path / "out.safetensors")]
    for arguments, heavy in ((["inspect", path], HEAVY | SLOW), (extracting, HEAVY)):
        done = subprocess.run(
            [sys.executable, "-c", PROBE.format(arguments=arguments)], capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.splitlines()[-1].split())  # beyond what this environment loads by itself
        assert "weightlift" in loaded
        assert not loaded & heavy


def test_import_alone_loads_no_rooms():
    """`import weightlift` costs next to nothing: its names are imported when used."""
    code = "import sys, weightlift; print([n for n in sys.modules if n.startswith('weightlift.')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded == "['weightlift.typed']\n"
