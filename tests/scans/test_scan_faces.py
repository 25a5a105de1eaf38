"""A scan as text, JSON, SARIF and workflow commands: complete, in one order, and no name is a command."""

from __future__ import annotations

import json

import pytest

from weightlift.actions.scan import Scan
from weightlift.faces.as_json_of_scans import scan_json
from weightlift.faces.github import render_annotations
from weightlift.faces.sarif import scan_sarif
from weightlift.faces.text_of_scans import render_scan
from weightlift.scans import Evidence, Scanned

CALL = Evidence(
    "dangerous-call",
    "danger",
    "archive/data.pkl",
    "runs a shell command",
    123,
    "REDUCE",
    "posix.system('echo hi')",
    "X-1",
)
NAME = Evidence("unknown-global", "warning", "", "a name that is not known", 2, "GLOBAL", "their.Net()")


def scan_of(*files, skipped=0):
    """Return a scan of these."""
    return Scan(files, "dangerous", 3, skipped)


FOUND = scan_of(
    Scanned("ok.pt", "clean", "torch-zip", (), 1, 90),
    Scanned("net.pkl", "unknown", "pickle", (NAME,), 1, 80),
    Scanned("cut.pt", "unreadable", "", (Evidence("unreadable", "warning", "", "it ends too early"),), 0, 0),
    Scanned("sub/évil 1.pt", "dangerous", "torch-zip", (CALL,), 1, 70),
    skipped=2,
)


def test_text_puts_the_most_dangerous_first():
    """A line a file and its evidence below, dangerous, unreadable, unknown, clean; then the counts."""
    assert render_scan(FOUND).split("\n") == [
        "dangerous   sub/évil 1.pt  (torch-zip)",
        "    danger: archive/data.pkl byte 123 REDUCE: posix.system('echo hi'): runs a shell command [X-1]",
        "unreadable  cut.pt",
        "    warning: it ends too early",
        "unknown     net.pkl  (pickle)",
        "    warning: byte 2 GLOBAL: their.Net(): a name that is not known",
        "clean       ok.pt  (torch-zip)",
        "4 files scanned: 1 dangerous, 1 unreadable, 1 unknown, 1 clean; 2 others skipped as no checkpoints",
    ]


def test_text_keeps_a_long_list_short():
    """Of a hundred pieces of evidence twenty are shown, and it is said that there are more."""
    lines = render_scan(scan_of(Scanned("a.pt", "unknown", "pickle", (NAME,) * 100, 1, 9))).split("\n")
    assert len(lines) == 23
    assert lines[-2] == "    and 80 more (--json lists them)"


NASTY = [
    "::error::made up.pt",
    "  ::stop-commands::x\n::warning::y",
    "a%0A::error::b",
    "x\r\n::set-env name=A::b",
    "\x1b[31mred\x1b]0;title\x07",
    "lone \udc80 byte",
    "a,title=b:c",
]


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("render", [render_scan, render_annotations])
def test_no_name_is_a_command_or_moves_the_cursor(name, render):
    """Whatever a file, a member and what it calls are named, lines begin with words of ours, without control codes."""
    evidence = Evidence("dangerous-call", "danger", name, name, 1, "REDUCE", name)
    shown = render(scan_of(Scanned(name, "dangerous", "torch-zip", (evidence,), 1, 1)))
    lines = shown.split("\n")
    assert len(lines) == (3 if render is render_scan else 2)
    assert shown.replace("\n", "").isprintable()
    shown.encode()
    for line in lines:
        assert line.split()[0] in {"dangerous", "danger:", "1", "::error"}


def test_annotations():
    """Each piece of evidence is an annotation of its file: errors where the step fails over it, the worst first."""
    assert render_annotations(FOUND).split("\n") == [
        (
            "::error file=sub/évil 1.pt,title=weightlift%3A dangerous::archive/data.pkl byte 123 REDUCE: "
            "posix.system('echo hi'): runs a shell command [X-1]"
        ),
        "::error file=cut.pt,title=weightlift%3A unreadable::it ends too early",
        "::warning file=net.pkl,title=weightlift%3A unknown::byte 2 GLOBAL: their.Net(): a name that is not known",
        "4 files scanned: 1 dangerous, 1 unreadable, 1 unknown, 1 clean; 2 others skipped as no checkpoints",
    ]


def test_annotations_escape_as_the_runner_unescapes():
    """Percent signs and line breaks come back in the message, commas and colons too in the file's name."""
    evidence = Evidence("x", "danger", "", "100%, a:b")
    (line, _) = render_annotations(scan_of(Scanned("a%,\n:b.pt", "dangerous", "", (evidence,), 1, 1))).split("\n")
    assert line == "::error file=a%25%2C%0A%3Ab.pt,title=weightlift%3A dangerous::100%25, a:b"


@pytest.mark.parametrize("verdict", ["dangerous", "unreadable", "unknown"])
def test_no_verdict_without_a_word(verdict):
    """A file that is not clean is told in every form, even where nothing is said of why."""
    found = scan_of(Scanned("a.pt", verdict, "", (), 0, 0))
    assert "::error file=a.pt" in render_annotations(found)
    (result,) = json.loads(scan_sarif(found))["runs"][0]["results"]
    assert result["ruleId"] == verdict
    assert verdict in render_scan(found)


def test_json_is_complete():
    """Every file in the order of the scan, with every field of its evidence."""
    document = json.loads(scan_json(FOUND))
    assert (document["schema"], document["kind"], document["verdict"], document["skipped"]) == (
        1,
        "scan",
        "dangerous",
        2,
    )
    assert [file["path"] for file in document["files"]] == ["ok.pt", "net.pkl", "cut.pt", "sub/évil 1.pt"]
    assert document["files"][3]["evidence"] == [
        {
            "code": "dangerous-call", "severity": "danger", "where": "archive/data.pkl",
            "message": "runs a shell command", "offset": 123, "opcode": "REDUCE",
            "call": "posix.system('echo hi')", "advisory": "X-1",
        }
    ]  # fmt: skip
