"""`weightlift plan SOURCE TARGET [--rules FILE]`"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout

from ...actions.plan import Checked, Explained, check_plan, inverted_plan
from ...errors import PlanError, printable
from ...typed import TYPE_CHECKING
from ..text import human_bytes

if TYPE_CHECKING:
    import argparse

PLAIN = ("source", "target")
SUMMARY = "Find where every weight goes, or hold a plan against both sides; from headers alone."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint")
    parser.add_argument("target", metavar="TARGET", help="a checkpoint, or package.module:factory (runs that code)")
    parser.add_argument("--rules", metavar="FILE", help="the plan; without it, one is found")
    parser.add_argument("--by", choices=("names", "values"), default="names",
                        help="what to find it by; by values, TARGET is SOURCE after a conversion")  # fmt: skip
    parser.add_argument("--name", help="which state dict of SOURCE, where it holds several")
    parser.add_argument("--target-name", metavar="NAME", help="the same for TARGET")
    parser.add_argument("-o", "--out", metavar="FILE", help="write the plan to a file")
    parser.add_argument("--invert", action="store_true", help="print the plan that goes back (needs --rules)")
    parser.add_argument("--explain", metavar="KEY", help="say what becomes of one source or target name")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan and its report; 1 where it is not complete."""
    sides = {"name": arguments.name, "target_name": arguments.target_name, "limits": arguments.limits}
    if arguments.invert:
        if not arguments.rules:
            raise PlanError("--invert without a plan", expected="--rules FILE")
        if arguments.explain is not None:
            raise PlanError("--explain beside --invert", expected="one of them")
        with redirect_stdout(sys.stderr):  # what a factory prints is no part of the output
            plan = inverted_plan(arguments.source, arguments.target, arguments.rules, **sides)
        if arguments.out:
            plan.save(arguments.out)
        print(json.dumps({"schema": 1, "kind": "plan", "plan": plan.text}) if arguments.json else plan.text, end="")
        return 0
    with redirect_stdout(sys.stderr):
        checked = check_plan(arguments.source, arguments.target, arguments.rules, by=arguments.by, **sides)
    if arguments.out:
        checked.plan.save(arguments.out)
    if arguments.explain is not None:
        found = checked.explain(arguments.explain)
        print(_explained_json(arguments.explain, found) if arguments.json else _explained(found))
    else:
        print(_as_json(checked) if arguments.json else _page(checked))
    return 0 if checked.is_complete else 1


def _as_json(checked: Checked) -> str:
    body = {"plan": checked.plan.text, "report": checked.report.to_json()}
    return json.dumps({"schema": 1, "kind": "plan", **body}, indent=1)


def _page(checked: Checked) -> str:
    held = f"at most {human_bytes(checked.report.peak_nbytes)} are held at once"
    lines = [checked.plan.text.rstrip(), "", str(checked.report), held]
    return "\n".join(printable(line) for text in lines for line in text.split("\n"))


def _explained_json(key: str, found: Iterable[Explained]) -> str:
    from dataclasses import asdict

    lines = [
        {
            **asdict(each.line),
            "rule": str(each.rule) if each.rule else "",
            "comment": each.rule.comment if each.rule else "",
            "runners_up": each.runners_up,
        }
        for each in found
    ]
    return json.dumps({"schema": 1, "kind": "explanation", "key": key, "lines": lines}, indent=1)


def _explained(found: Iterable[Explained]) -> str:
    return "\n".join(printable(text) for each in found for text in _told(each))


def _told(each: Explained) -> Iterable[str]:
    line, rule = each.line, each.rule
    made_of = f" made of {', '.join(line.sources)}" if line.sources else ""
    yield f"{line.side} {line.key}: {line.status}, {line.dtype} {list(line.shape)}{made_of}"
    comment = f"  # {rule.comment}" if rule and rule.comment else ""
    yield f"  line {rule.line}: {rule}{comment}" if rule else "  no rule speaks of it"
    if each.runners_up:
        yield f"  of the same shape: {', '.join(each.runners_up)}"
    if line.note:
        yield f"  {line.note}"
