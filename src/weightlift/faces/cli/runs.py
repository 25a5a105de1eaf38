"""`weightlift runs DIR`"""

from __future__ import annotations

import logging

from ...actions.runs import runs
from ...errors import StoreError
from ...training.keep import Keep, rule
from ...typed import TYPE_CHECKING
from ..text_of_runs import render_runs
from .progress import progress_line
from .signals import ended_by_signals

if TYPE_CHECKING:
    import argparse

PLAIN = ("path",)
SUMMARY = "List, check, prune and pin the training checkpoints of a directory."
BROKEN = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("path", metavar="DIR", help="where a CheckpointStore saves")
    parser.add_argument("--verify", action="store_true", help="read every byte; exit 1 when one is broken")
    parser.add_argument("--prune", action="store_true", help="remove what the rule below does not keep")
    parser.add_argument("--dry-run", action="store_true", help="with --prune: only say what would go")
    parser.add_argument("--keep", type=int, metavar="N", help="the rule: the newest N stay")
    parser.add_argument("--best", metavar="METRIC:MODE", help="the best one stays too: val_loss:min, accuracy:max")
    parser.add_argument("--every", type=int, metavar="N", help="each whose step is a multiple of N stays too")
    parser.add_argument("--pin", type=int, action="append", metavar="STEP", help="keep this one whatever the rule says")
    parser.add_argument("--unpin", type=int, action="append", metavar="STEP", help="let the rule decide about it again")


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked and list what is there; exit 1 when a checkpoint is broken."""
    if arguments.dry_run and not arguments.prune:
        raise StoreError("--dry-run alone", expected="--prune --dry-run")
    logging.getLogger("weightlift").addHandler(logging.NullHandler())  # the notes are printed below
    with ended_by_signals(), progress_line(f"verifying {arguments.path}") as progress:
        found = runs(
            arguments.path,
            keep=_rule(arguments),
            verify=bool(arguments.verify),
            prune=bool(arguments.prune),
            dry_run=bool(arguments.dry_run),
            pin=arguments.pin or (),
            unpin=arguments.unpin or (),
            progress=progress,
        )
    if arguments.json:
        from ..as_json_of_runs import runs_json

        print(runs_json(found))
    else:
        print(render_runs(found))
    return BROKEN if found.damaged else 0


def _rule(arguments: argparse.Namespace) -> Keep:
    return rule(Keep(last=arguments.keep, every=arguments.every), arguments.best)
