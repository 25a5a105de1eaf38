"""`weightlift lint PATH...`"""

from __future__ import annotations

from ...actions.lint import Lint, lint
from ...errors import WeightliftError
from ...typed import TYPE_CHECKING
from .main import silence

if TYPE_CHECKING:
    import argparse

PLAIN = ("paths...",)
SUMMARY = "Find code that saves or loads weights badly, say why, and rewrite it where the rewrite is certain."
_FORMS = ("json", "sarif", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    add = parser.add_argument
    add("paths", metavar="PATH", nargs="+", help="a Python file, a notebook, or a folder with all that is under it")
    add("--fix", action="store_true", help="carry out the safe fixes (needs weightlift[fix])")
    add("--unsafe-fixes", action="store_true", help="with --fix: also those that may change what a program does")
    add("--select", action="append", metavar="CODES", help="only these rules: WL101,WL3")
    add("--ignore", action="append", metavar="CODES", help="not these rules")
    add("--torch-min", metavar="VERSION", help="the oldest torch that the code has to run with (2.6)")
    add("--to", metavar="LIBRARY", help="`weightlift`: fixes may use weightlift itself")
    add("--sarif", action="store_true", help="print a SARIF 2.1.0 log, for code scanning services")
    add("--github", action="store_true", help="print annotations for a GitHub workflow")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; exit 0 for none, 1 for some, 2 where a file could not be read, parsed or written."""
    asked = [name for name in _FORMS if getattr(arguments, name)]
    if len(asked) > 1:
        raise WeightliftError(f"--{asked[1]} beside --{asked[0]}", expected="one of them")
    if arguments.unsafe_fixes and not arguments.fix:
        raise WeightliftError("--unsafe-fixes without --fix", expected="both")
    found = lint(
        *arguments.paths,
        fix=bool(arguments.fix),
        unsafe_fixes=bool(arguments.unsafe_fixes),
        select=_codes(arguments.select),
        ignore=_codes(arguments.ignore) or (),
        torch_min=arguments.torch_min,
        to=arguments.to,
    )
    try:
        print(_rendered(found, asked[0] if asked else "text"), flush=True)
    except BrokenPipeError:  # the reader has seen enough; what was found is what it is
        silence()
    return found.exit_code


def _codes(given: list[str] | None) -> list[str] | None:
    return None if given is None else [code.strip() for each in given for code in each.split(",") if code.strip()]


def _rendered(found: Lint, form: str) -> str:
    if form == "json":
        from ..as_json_of_lints import lint_json

        return lint_json(found)
    if form == "sarif":
        from ..sarif_of_lints import lint_sarif

        return lint_sarif(found)
    if form == "github":
        from ..github import lint_annotations

        return lint_annotations(found)
    from ..text_of_lints import render_lint

    return render_lint(found)
