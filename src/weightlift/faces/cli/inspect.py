"""`weightlift inspect FILE`"""

from __future__ import annotations

import os
import sys

from ...actions.inspect import inspect
from ...typed import TYPE_CHECKING
from ..text import render_inspection

if TYPE_CHECKING:
    import argparse

PLAIN = ("path",)
SUMMARY = "Say what is inside a checkpoint. No code of the file runs."
DANGEROUS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("path", metavar="FILE", help="any checkpoint")
    parser.add_argument("--all", action="store_true", help="list every tensor on a line of its own")


def run(arguments: argparse.Namespace) -> int:
    """Print the inspection; the exit code says whether a plain torch.load would run something dangerous."""
    found = inspect(arguments.path, limits=arguments.limits)
    if arguments.json:
        from ..as_json import inspection_json

        print(inspection_json(found))
    else:
        print(render_inspection(found, width=_width(), every_tensor=bool(arguments.all)))
    return DANGEROUS if found.safety.verdict == "dangerous" else 0


def _width() -> int:
    """Columns of the terminal, 0 (as wide as it takes) when the output is piped."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0
    except (OSError, ValueError, AttributeError):  # closed, or None
        return 0
