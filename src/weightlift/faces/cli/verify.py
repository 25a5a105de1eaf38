"""`weightlift verify PLAN SOURCE_FACTORY TARGET_FACTORY --inputs package.module:function`"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout

from ...actions.verify import verify_plan
from ...errors import PlanError, printable
from ...typed import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

PLAIN = ("plan", "source", "target")
SUMMARY = "Prove a plan by a forward pass through both models on random weights."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    code = "package.module:factory (runs that code)"
    parser.add_argument("plan", metavar="PLAN", help="a plan file")
    parser.add_argument("source", metavar="SOURCE_FACTORY", help=f"what makes the old model: {code}")
    parser.add_argument("target", metavar="TARGET_FACTORY", help=f"what makes the new model: {code}")
    parser.add_argument("--inputs", metavar="FUNCTION", help="package.module:function that returns what both are given")
    parser.add_argument("--new-inputs", metavar="FUNCTION", help="the same for the new model, where it differs")
    parser.add_argument("--seed", type=int, metavar="N", help="the seed of the random weights (0)")
    parser.add_argument("--max-tries", type=int, metavar="N", help="meanings of !unsure lines to try at most (5040)")
    parser.add_argument("-o", "--out", metavar="FILE", help="write the settled plan to a file, where there is one")


def run(arguments: argparse.Namespace) -> int:
    """Print what was proven; 1 where the plan does not prove as it stands."""
    if not arguments.inputs:
        raise PlanError("verify without inputs", expected="--inputs package.module:function")
    with redirect_stdout(sys.stderr):  # what a model prints is no part of the output
        found = verify_plan(
            arguments.plan,
            arguments.source,
            arguments.target,
            arguments.inputs,
            new_inputs=arguments.new_inputs,
            seed=arguments.seed,
            max_tries=arguments.max_tries,
        )
    if arguments.out and found.settled is not None:
        found.settled.save(arguments.out)
    if arguments.json:
        print(json.dumps({"schema": 1, "kind": "verification", **found.to_json()}, indent=1))
    else:
        print("\n".join(printable(line) for line in str(found).split("\n")))
    return 0 if found.ok else 1
