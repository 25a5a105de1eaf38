"""`weightlift apply SOURCE PLAN OUT.safetensors`"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from ...actions.apply import apply_plan
from ...errors import printable
from ...typed import TYPE_CHECKING
from ..text import human_bytes
from .progress import progress_line
from .signals import ended_by_signals
from .sizes import size

if TYPE_CHECKING:
    import argparse

PLAIN = ("source", "plan", "out")
SUMMARY = "Carry a plan out from a checkpoint into a safetensors file."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint")
    parser.add_argument("plan", metavar="PLAN", help="a plan file")
    parser.add_argument("out", metavar="OUT", help="the safetensors file to write")
    parser.add_argument("--name", help="which state dict of SOURCE, where it holds several")
    parser.add_argument("--max-shard-size", type=size, metavar="SIZE", help="several files and an index: 500MB, 5GB")


def run(arguments: argparse.Namespace) -> int:
    """Apply and say what was written."""
    with ended_by_signals(), progress_line(f"applying {arguments.plan}") as progress:
        done = apply_plan(
            arguments.source,
            arguments.plan,
            arguments.out,
            name=arguments.name,
            max_shard_bytes=arguments.max_shard_size,
            limits=arguments.limits,
            progress=progress,
        )
    if arguments.json:
        body = {"written": asdict(done.written), "report": done.report.to_json()}
        print(json.dumps({"schema": 1, "kind": "applied", **body}, indent=1))
    else:
        counts = ", ".join(f"{count} {status}" for status, count in done.report.counts.items())
        print(printable(f"{done.written.path}: {human_bytes(done.written.nbytes)}; {counts}"))
        print(f"at most {human_bytes(done.report.peak_nbytes)} were held at once")
        for note in done.report.notes:
            print(printable(f"note: {note}"), file=sys.stderr)
    return 0
