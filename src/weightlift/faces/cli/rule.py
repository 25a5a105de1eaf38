"""`weightlift rule CODE`"""

from __future__ import annotations

from ...actions.rule import page_of, rule
from ...typed import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

PLAIN = ("code",)
SUMMARY = "Show the page of a lint rule: what it finds, why that is bad, what to write instead."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("code", metavar="CODE", help="a code as `lint` prints it, or a name: state-dict-of-a-load")


def run(arguments: argparse.Namespace) -> int:
    """Print the page."""
    found = rule(arguments.code)
    if arguments.json:
        from ..as_json_of_lints import rule_json

        print(rule_json(found))
    else:
        print(page_of(found))
    return 0
