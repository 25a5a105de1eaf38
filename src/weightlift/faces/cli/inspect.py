"""`weightlift inspect FILE`"""

from __future__ import annotations

import os
import sys

from ...actions.inspect import Inspection, inspect
from ...limits import Limits
from ...typed import TYPE_CHECKING
from ..text import render_inspection

if TYPE_CHECKING:
    import argparse

PLAIN = ("path",)
DAMAGED = 1
SUMMARY = "Say what is inside a checkpoint. No code of the file runs."
DANGEROUS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("path", metavar="FILE", help="any checkpoint")
    parser.add_argument("--all", action="store_true", help="list every tensor on a line of its own")
    parser.add_argument("--verify", action="store_true", help="read every byte and hold it against its checksum")


def run(arguments: argparse.Namespace) -> int:
    """Print the inspection; the exit code tells of what a plain torch.load would run, and of damage."""
    found = (_verified if arguments.verify else inspect)(arguments.path, limits=arguments.limits)
    if arguments.json:
        from ..as_json import inspection_json

        print(inspection_json(found))
    else:
        print(render_inspection(found, width=_width(), every_tensor=bool(arguments.all)))
    if found.safety.verdict == "dangerous":
        return DANGEROUS
    return DAMAGED if found.verified is False else 0


def _verified(path: str, limits: Limits) -> Inspection:
    from .progress import progress_line

    with progress_line("verifying") as progress:
        return inspect(path, limits=limits, verify=True, progress=progress)


def _width() -> int:
    """Columns of the terminal, 0 (as wide as it takes) when the output is piped."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0
    except (OSError, ValueError, AttributeError):  # closed, or None
        return 0
