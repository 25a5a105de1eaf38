"""Extract what `build.py` saved, where no library is, and compare with what it wrote down.

Runs in an interpreter that has nothing installed: `check.py DIRECTORY`. Refuses to run where any of
the libraries can be imported. Leaves `N.FORMAT.NAME.safetensors` and `checked.json`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from seen import seen

import weightlift as wl

LIBRARIES = ("torch", "torchvision", "timm", "transformers", "pytorchcv", "peft", "safetensors", "numpy", "ml_dtypes")


def checked(place: str, container: str, name: str, expected: dict[str, Any], *, only: bool) -> dict[str, Any]:
    """Extract one state dict with the command line; return where it differs and what was noted."""
    out = f"{place}.{container}.{name or 'root'}.safetensors"
    command = [sys.executable, "-m", "weightlift", "extract", f"{place}.{container}.pt", out]
    command += [] if only else ["--name", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about = {"container": container, "state_dict": name, "out": out, "notes": done.stderr.splitlines()}
    if done.returncode:
        return about | {"difference": f"exit {done.returncode}: {done.stderr.strip()}"}
    found = json.loads(json.dumps(seen(wl.open(out).state_dict())))
    versions = dict(expected["versions"])
    off = [path for path, about in found["versions"] if versions.get(path) != about]
    off += [path for path in versions if path not in dict(found["versions"])]
    difference = _difference(found["entries"], expected["entries"])
    return about | {"difference": difference, "entries": len(found["entries"]), "versions_off": off}


def _difference(found: list[Any], expected: list[Any]) -> str:
    """Return "" where keys, order, dtypes, shapes and bytes are equal, else the first difference."""
    names, wanted = [key for key, _ in found], [key for key, _ in expected]
    if missing := [key for key in wanted if key not in set(names)]:
        return f"{len(missing)} missing: {', '.join(missing[:3])}"
    if extra := [key for key in names if key not in set(wanted)]:
        return f"{len(extra)} too many: {', '.join(extra[:3])}"
    if names != wanted:
        return "another order"
    for (key, here), (_, there) in zip(found, expected, strict=True):
        if here != there:
            return f"{key}: {json.dumps(here)[:160]} and not {json.dumps(there)[:160]}"
    return ""


def main(directory: str) -> None:
    """Check every row of a group."""
    if there := [name for name in LIBRARIES if find_spec(name)]:
        sys.exit(f"this interpreter can import {', '.join(there)}: it proves nothing")
    with open(os.path.join(directory, "rows.json")) as file:
        group = json.load(file)
    for row in group["rows"]:
        modules = row.get("modules", {})
        row["checks"] = [
            checked(row["place"], container, name, expected, only=len(modules) == 1)
            for container in ("zip", "legacy")
            for name, expected in modules.items()
        ]
    with open(os.path.join(directory, "checked.json"), "w") as file:
        json.dump(group, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
