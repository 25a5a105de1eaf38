"""`weightlift extract FILE OUT.safetensors`"""

from __future__ import annotations

import sys

from ...actions.extract import Extraction, extract
from ...errors import printable
from ...typed import TYPE_CHECKING
from ..text import human_bytes
from .progress import progress_line

if TYPE_CHECKING:
    import argparse

PLAIN = ("path", "out")
SUMMARY = "Write only the state dict of a checkpoint to a safetensors file."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("path", metavar="FILE", help="any checkpoint")
    parser.add_argument("out", metavar="OUT", help="the safetensors file to write")
    parser.add_argument("--name", help="which state dict, where the checkpoint holds several (see inspect)")
    parser.add_argument("--select", action="append", metavar="PATTERN", help="only these keys: 'encoder.**'")
    parser.add_argument("--drop", action="append", metavar="PATTERN", help="all keys but these: '*.bias'")


def run(arguments: argparse.Namespace) -> int:
    """Extract and say what was written."""
    with progress_line(f"extracting {arguments.path}") as progress:
        done = extract(
            arguments.path,
            arguments.out,
            name=arguments.name,
            select=arguments.select or (),
            drop=arguments.drop or (),
            progress=progress,
        )
    if arguments.json:
        from ..as_json import extraction_json

        print(extraction_json(done))
    else:
        print(_sentence(done))
        for finding in done.findings:
            print(printable(f"{finding.severity}: {finding.message}"), file=sys.stderr)
    return 0


def _sentence(done: Extraction) -> str:
    written = done.written
    ties = f", {len(written.ties)} tied names recorded" if written.ties else ""
    which = f" of {done.state_dict.name!r}" if done.state_dict.name else ""
    return printable(f"{written.path}: {len(done.state_dict):,} entries{which}, {human_bytes(written.nbytes)}{ties}")
