"""`make test-converters`: plans against the libraries' own converters, byte for byte, on random weights.

Runs `compare.py` where the pinned libraries are. Small models, no network, no files from elsewhere.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
REQUIREMENTS = os.path.join(ROOT, "tests", "architectures", "requirements.txt")


def environment(place: str) -> str:
    """Return the python of a virtual environment with the pinned libraries; made where it is missing."""
    python = os.path.join(place, "bin", "python")
    if not os.path.exists(python):
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
    return python


def main() -> int:
    """Run the comparison; return 1 where a plan and a converter differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=os.path.join(ROOT, ".venv-architectures"), help="made where it is missing")
    parser.add_argument("--python", help="an interpreter that has the libraries; no environment is made")
    parser.add_argument("--plans", default=os.path.join(ROOT, "plans"), help="the folder of the plans")
    parser.add_argument("names", nargs="*", help="plans (default: all that have a converter)")
    arguments = parser.parse_args()
    settings = {"PYTHONPATH": f"{ROOT}/src", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}
    settings |= {"CUDA_VISIBLE_DEVICES": "", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    settings["PYTHONWARNINGS"] = "ignore::FutureWarning"
    python = arguments.python or environment(arguments.venv)
    command = [python, f"{HERE}/compare.py", "--plans", arguments.plans, *arguments.names]
    return subprocess.run(command, check=False, env={**os.environ, **settings}).returncode


if __name__ == "__main__":
    sys.exit(main())
