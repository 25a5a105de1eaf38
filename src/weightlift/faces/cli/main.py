"""`weightlift VERB ...`: exit 0 ok, 1 findings, 2 error or unreadable, 3 dangerous."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ... import __version__
from ...errors import WeightliftError
from ...limits import DEFAULT_LIMITS, Limits
from ...typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

VERBS = ("inspect", "scan", "extract", "convert", "plan", "apply", "verify", "runs", "lint", "rule")
"""One module here for each: PLAIN, `add_arguments(parser)` and `run(arguments) -> exit code`.

PLAIN are the names of the verb's positional arguments; a call with these and nothing else needs no parser.
The only one may end in `...`: it takes one word or more.
"""

UNLIMITED = ("verify", "runs", "lint", "rule")
"""Verbs that read no checkpoint; every other one finds the budgets of `--limit` in `arguments.limits`."""

ERROR = 2


class PlainArguments:
    """Positional arguments alone; every option that is asked for is None."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> None:
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if argv is None:
        gc.disable()  # one command is over before a collection finds anything
    words = list(sys.argv[1:] if argv is None else argv)
    arguments: Any = _plain(words) or _parser(words).parse_args(words)
    try:
        arguments.limits = _limits(arguments.limit) if getattr(arguments, "limit", None) else DEFAULT_LIMITS
        code: int = arguments.run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        if argv is None:
            gc.freeze()  # nor does the interpreter have to look through everything once more as it ends
    except WeightliftError as error:
        _report(error, as_json=getattr(arguments, "json", False))
        return ERROR
    except BrokenPipeError:  # the reader has seen enough: weightlift ... | head
        silence()
        return 0
    except OSError as error:  # the writers report their own: this is the output of this command
        silence()
        print(f"weightlift: the output cannot be written: {error.strerror}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:  # also SIGTERM and SIGHUP, see `ended_by_signals`
        print("interrupted; nothing was left behind", file=sys.stderr)
        return 130
    return code


def _limits(given: list[str]) -> Limits:
    from .limits import limits_of

    return limits_of(given)


def _plain(words: list[str]) -> PlainArguments | None:
    """Return the arguments of a call without options. Half of a short command's start would go into argparse."""
    verb, values = (words[0] if words else ""), words[1:]
    if verb not in VERBS or any(word.startswith("-") or not word for word in values):
        return None
    module = import_module(f".{verb}", __package__)
    if values and module.PLAIN[0].endswith("..."):
        return PlainArguments({module.PLAIN[0].removesuffix("..."): values, "run": module.run})
    if len(values) != len(module.PLAIN):
        return None
    return PlainArguments({**dict(zip(module.PLAIN, values, strict=True)), "run": module.run})


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser; only the verb that is asked for is imported."""
    import argparse
    from functools import partial

    page = partial(argparse.HelpFormatter, width=_columns())
    parser = argparse.ArgumentParser(
        prog="weightlift",
        formatter_class=page,
        description="Lift the weights out of any PyTorch checkpoint without running its code.",
        epilog="exit codes: 0 ok, 1 findings, 2 error or unreadable, 3 dangerous",
    )
    parser.add_argument("--version", action="version", version=f"weightlift {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    wanted = [verb for verb in VERBS if verb in words[:1]] or VERBS
    for verb in VERBS:
        if verb in wanted:
            module = import_module(f".{verb}", __package__)
            summary = module.SUMMARY
            own = verbs.add_parser(verb, help=summary, description=summary, formatter_class=page)
            own.add_argument("--json", action="store_true", help="print one JSON document")
            if verb not in UNLIMITED:
                from .limits import HELP

                own.add_argument("--limit", action="append", metavar="NAME=VALUE", help=HELP)
            module.add_arguments(own)
            own.set_defaults(run=module.run)
    return parser


def _columns() -> int:
    """The width of help pages. Left to find it, argparse imports `shutil` and with it every compression module."""
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size().columns) - 2
    except (OSError, ValueError):
        return 78


def silence() -> None:
    """Send what is still to be flushed nowhere, so that the interpreter does not fail on it as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: WeightliftError, *, as_json: bool) -> None:
    if as_json:
        from ..as_json import error_json

        print(error_json(error))
    print(f"weightlift: {error}", file=sys.stderr)
