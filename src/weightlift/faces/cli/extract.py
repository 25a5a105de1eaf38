"""`weightlift extract FILE OUT.safetensors`"""

from __future__ import annotations

import sys

from ...actions.extract import Extraction, extract
from ...errors import plural, printable
from ...typed import TYPE_CHECKING
from ..text import human_bytes
from .progress import progress_line
from .signals import ended_by_signals
from .sizes import size

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
    parser.add_argument("--max-shard-size", type=size, metavar="SIZE", help="several files and an index: 500MB, 5GB")


def run(arguments: argparse.Namespace) -> int:
    """Extract and say what was written."""
    with ended_by_signals(), progress_line(f"extracting {arguments.path}") as progress:
        done = extract(
            arguments.path,
            arguments.out,
            name=arguments.name,
            select=arguments.select or (),
            drop=arguments.drop or (),
            max_shard_bytes=arguments.max_shard_size,
            limits=arguments.limits,
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
    ties = f", {plural(len(written.ties), 'tied name')} recorded" if written.ties else ""
    which = f" of {done.state_dict.name!r}" if done.state_dict.name else ""
    entries = plural(len(done.state_dict), "entry", "entries")
    return printable(f"{written.path}: {entries}{which}, {human_bytes(written.nbytes)}{ties}")
