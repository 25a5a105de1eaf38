"""`make test-architectures`: whole modules of many libraries, extracted where none of them is installed.

For each group of rows three processes: `build.py` where the libraries are, `check.py` in an empty
environment, `load.py` where the libraries are again. Fails where anything is not as its row says, and
records the figures in docs/architectures.md with `--record`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
from record import REFUSES_ITS_OWN, record  # noqa: E402 - beside this script
from table import GROUPS  # noqa: E402 - beside this script


def environment(place: str) -> str:
    """Return the python of a virtual environment with the pinned libraries; made where it is missing."""
    python = os.path.join(place, "bin", "python")
    if not os.path.exists(python):
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", f"{HERE}/requirements.txt"], check=True)
    return python


def run(python: str, script: str, *arguments: str) -> None:
    """Run one of the three scripts; no network, no GPU, and of this project only `src`."""
    settings = {"PYTHONPATH": f"{ROOT}/src", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}
    settings |= {"CUDA_VISIBLE_DEVICES": "", "TRANSFORMERS_VERBOSITY": "error"}
    subprocess.run([python, f"{HERE}/{script}", *arguments], check=True, env={**os.environ, **settings})


def problems(row: dict[str, Any]) -> list[str]:
    """Return what is not as the row says it should be."""
    if row["refused"]:
        return [] if row["error"] else ["torch pickles it now: check it"]
    if row["error"]:
        return [row["error"]]
    if row["needs_class"]:
        silent = [c for c in row["checks"] if not c["difference"] or not c["notes"]]
        return [f"{c['container']}: equal now, or differs without a note" for c in silent]
    out = []
    for check in row["checks"]:
        found = {
            "difference": check["difference"],
            "versions": ", ".join(check.get("versions_off", [])),
            "loading": check.get("loaded", "not loaded").removeprefix(REFUSES_ITS_OWN),
            "safetensors": check.get("independent", "not read"),
        }
        out += [f"{check['container']} {check['state_dict']}: {k}: {v}" for k, v in found.items() if v]
    return out


def main() -> int:
    """Run all groups; return 1 where a row is not as it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=os.path.join(ROOT, ".venv-architectures"), help="made where it is missing")
    parser.add_argument("--python", help="an interpreter that has the libraries; no environment is made")
    parser.add_argument("--record", action="store_true", help="write docs/architectures.md")
    parser.add_argument("groups", nargs="*", default=list(GROUPS), help="rooms of rows (default: all)")
    arguments = parser.parse_args()
    rich = arguments.python or environment(arguments.venv)
    failed, groups = 0, []
    with tempfile.TemporaryDirectory() as work:
        bare = os.path.join(work, "bare")
        venv.create(bare, with_pip=False)
        for group in arguments.groups:
            place = os.path.join(work, group)
            os.mkdir(place)
            run(rich, "build.py", group, place)
            run(os.path.join(bare, "bin", "python"), "check.py", place)
            run(rich, "load.py", place)
            with open(os.path.join(place, "loaded.json")) as file:
                groups.append(json.load(file))
            shutil.rmtree(place)
            for row in groups[-1]["rows"]:
                for problem in problems(row):
                    failed += 1
                    print(f"FAILED {row['name']}: {problem}")  # noqa: T201 - a script's report
    if arguments.record:
        record(groups, os.path.join(ROOT, "docs", "architectures.md"))
    total = sum(len(group["rows"]) for group in groups)
    print(f"{total} architectures, {failed} problems")  # noqa: T201 - a script's report
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
