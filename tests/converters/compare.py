"""Each plan and the library's converter on one file: equal names, equal types, equal bytes.

The file is read by weightlift; the plan is checked against a module, and applied to it. Exits 1 at any difference.
"""

# ruff: noqa: T201 - a script's report

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import tempfile
from typing import TYPE_CHECKING

import from_peft
import from_timm
import from_torch
import from_transformers
import torch

import weightlift as wl

if TYPE_CHECKING:
    from conversion import Conversion, Row

ROWS = [*from_timm.ROWS, *from_transformers.ROWS, *from_peft.ROWS, *from_torch.ROWS]


def raw(tensor: torch.Tensor) -> bytes:
    """Return the elements' bytes."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def differences(plan: wl.Plan, found: Conversion) -> list[str]:
    """Return where the plan gives something else than the converter, a line each."""
    source = wl.open(found.source).state_dict()
    paper = plan.check(source, found.target)
    if paper.problems:
        return [str(problem) for problem in paper.problems]
    left_out = found.new | found.beyond
    out = [f"{key}: initialised in one of the two only" for key in sorted(set(paper.initialised) ^ left_out)]
    out += [f"{key}: made in one of the two only" for key in sorted(set(paper.made) ^ (set(found.expected) - left_out))]
    plan.apply(found.target, source)
    loaded = found.target.state_dict()
    for key in sorted(set(paper.made) & set(found.expected)):
        made, expected = paper.made[key].value, found.expected[key]
        if (loaded[key].dtype, loaded[key].shape) != (expected.dtype, expected.shape):
            out.append(
                f"{key}: {loaded[key].dtype} {tuple(loaded[key].shape)}, not {expected.dtype} {tuple(expected.shape)}"
            )
        elif raw(loaded[key]) != raw(expected):
            out.append(f"{key}: other bytes in the module")
        elif bytes(made.tobytes()) != raw(expected):
            out.append(f"{key}: other bytes without a module")
    return out


def compared(row: Row, plans: str) -> tuple[Conversion, list[str]]:
    """Return a row's conversion and the differences."""
    with tempfile.TemporaryDirectory() as folder:
        found = row.make(folder)
        try:
            return found, differences(wl.Plan.load(os.path.join(plans, f"{row.plan}.plan.toml")), found)
        except wl.WeightliftError as error:
            return found, [str(error)]


def main() -> int:
    """Print a table, and every difference; return 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", required=True, help="the folder of the plans")
    parser.add_argument("names", nargs="*", help="plans (default: all that have a converter)")
    arguments = parser.parse_args()
    failed = 0
    print("| plan | converter | tensors | equal | left new by both |\n|---|---|---:|---:|---:|")
    for row in ROWS:
        if arguments.names and row.plan not in arguments.names:
            continue
        found, wrong = compared(row, arguments.plans)
        failed += bool(wrong)
        total, new = len(found.expected), len(found.new)
        equal = "no" if wrong else str(total - new - len(found.beyond))
        version = importlib.metadata.version(row.library).partition("+")[0]
        print(f"| {row.plan} | {row.library} {version}: {row.converter} | {total} | {equal} | {new} |", flush=True)
        for line in wrong[:10]:
            print(f"  FAILED {row.plan}: {line}")
    print(f"{failed} plans differ from their converter")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
