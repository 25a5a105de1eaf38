"""`weightlift plan SOURCE TARGET [--rules FILE]`"""

from __future__ import annotations

import json

from ...actions.plan import Checked, check_plan, inverted_plan
from ...errors import PlanError, printable
from ...mapping.report import Line
from ...typed import TYPE_CHECKING
from ..text import human_bytes

if TYPE_CHECKING:
    import argparse

PLAIN = ("source", "target")
SUMMARY = "Hold a plan against a source and a target, from headers alone, and say what it does to every tensor."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument("source", metavar="SOURCE", help="a checkpoint")
    parser.add_argument("target", metavar="TARGET", help="a checkpoint, or package.module:factory (runs that code)")
    parser.add_argument("--rules", metavar="FILE", help="the plan; without it, equal names are joined")
    parser.add_argument("--name", help="which state dict of SOURCE, where it holds several")
    parser.add_argument("-o", "--out", metavar="FILE", help="write the plan to a file")
    parser.add_argument("--invert", action="store_true", help="print the plan that goes back (needs --rules)")
    parser.add_argument("--explain", metavar="KEY", help="say what becomes of one source or target name")


def run(arguments: argparse.Namespace) -> int:
    """Print the plan and its report; 1 where it is not complete."""
    if arguments.invert:
        if not arguments.rules:
            raise PlanError("--invert without a plan", expected="--rules FILE")
        plan = inverted_plan(arguments.source, arguments.target, arguments.rules, name=arguments.name)
        if arguments.out:
            plan.save(arguments.out)
        print(json.dumps({"schema": 1, "kind": "plan", "plan": plan.text}) if arguments.json else plan.text, end="")
        return 0
    checked = check_plan(arguments.source, arguments.target, arguments.rules, name=arguments.name)
    if arguments.out:
        checked.plan.save(arguments.out)
    if arguments.json:
        print(_as_json(checked))
    elif arguments.explain:
        print(_explained(checked, arguments.explain))
    else:
        print(_page(checked))
    return 0 if checked.is_complete else 1


def _as_json(checked: Checked) -> str:
    body = {"plan": checked.plan.text, "report": checked.report.to_json()}
    return json.dumps({"schema": 1, "kind": "plan", **body, "suggestions": list(checked.suggestions)}, indent=1)


def _page(checked: Checked) -> str:
    held = f"at most {human_bytes(checked.report.peak_nbytes)} are held at once"
    lines = [checked.plan.text.rstrip(), "", str(checked.report), held]
    if checked.suggestions:
        lines += ["rule lines that would settle it, to be judged:", *(f"  {line}" for line in checked.suggestions)]
    return "\n".join(printable(line) for text in lines for line in text.split("\n"))


def _explained(checked: Checked, key: str) -> str:
    found = [line for line in checked.report.lines if line.key == key or key in line.sources]
    if not found:
        return printable(f"{key!r} is on neither side")
    return "\n".join(printable(_told(line, checked)) for line in found)


def _told(line: Line, checked: Checked) -> str:
    rule = next((rule for rule in checked.plan.rules if rule.line == line.rule_line), None)
    shape = f"{line.dtype} {list(line.shape)}"
    made_of = f" made of {', '.join(line.sources)}" if line.sources else ""
    by = f"\n  line {rule.line}: {rule}" if rule else "\n  no rule speaks of it"
    note = f"\n  {line.note}" if line.note else ""
    return f"{line.side} {line.key}: {line.status}, {shape}{made_of}{by}{note}"
