"""`weightlift scan PATH...`"""

from __future__ import annotations

import sys

from ...actions.scan import Scan, scan
from ...errors import WeightliftError
from ...typed import TYPE_CHECKING
from .progress import progress_line

if TYPE_CHECKING:
    import argparse

PLAIN = ("paths...",)
SUMMARY = "Say whether files are safe to load, and why. No code of a file runs."
_FORMS = ("json", "sarif", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a file, or a folder with all that is under it")
    parser.add_argument("--sarif", action="store_true", help="print a SARIF 2.1.0 log, for code scanning services")
    parser.add_argument("--github", action="store_true", help="print annotations for a GitHub workflow")
    parser.add_argument("--deep", action="store_true", help="look for pickles in the bytes of tensors too")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes that read (as many as it pays to start)")


def run(arguments: argparse.Namespace) -> int:
    """Print the verdicts; exit 0 when all are clean, 1 unknown, 2 unreadable, 3 dangerous."""
    asked = [name for name in _FORMS if getattr(arguments, name)]
    if len(asked) > 1:
        raise WeightliftError(f"--{asked[1]} beside --{asked[0]}", expected="one of them")
    if arguments.jobs is not None and arguments.jobs < 1:
        raise WeightliftError(f"--jobs {arguments.jobs}", expected="1 or more")
    with progress_line("scanning") as progress:
        found = scan(*arguments.paths, jobs=arguments.jobs, deep=bool(arguments.deep), progress=progress)
    sys.stdout.write(_rendered(found, asked[0] if asked else "text") + "\n")
    return found.exit_code


def _rendered(found: Scan, form: str) -> str:
    if form == "json":
        from ..as_json_of_scans import scan_json

        return scan_json(found)
    if form == "sarif":
        from ..sarif import scan_sarif

        return scan_sarif(found)
    if form == "github":
        from ..github import render_annotations

        return render_annotations(found)
    from ..text_of_scans import render_scan

    return render_scan(found)
