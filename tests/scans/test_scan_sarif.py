"""The SARIF log: what its schema demands, and places that lead to the byte."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest

from weightlift.actions.scan import Scan
from weightlift.faces.sarif import SCHEMA, scan_sarif
from weightlift.scans import Evidence, Scanned

CALL = Evidence("dangerous-call", "danger", "archive/data.pkl", "runs it", 123, "REDUCE", "posix.system('echo hi')")
NAME = Evidence("unknown-global", "warning", "", "a name", 2, "GLOBAL")
NOTE = Evidence("trailing-bytes", "note", "archive/data.pkl", "bytes follow")
CUT = Evidence("unreadable", "warning", "", "it ends")
FILES = (
    Scanned("sub/net 100%.pt", "unknown", "pickle", (NAME, NOTE), 1, 1),
    Scanned("/abs/evil.pt", "dangerous", "torch-zip", (CALL, NAME), 1, 1),
    Scanned("cut.pt", "unreadable", "", (CUT,), 0, 0),
    Scanned("ok.pt", "clean", "torch-zip", (), 1, 1),
)


def run_of(*files):
    """Return the one run of the log on some files."""
    log = json.loads(scan_sarif(Scan(files, "dangerous", 3)))
    assert (log["$schema"], log["version"]) == (SCHEMA, "2.1.0")
    (run,) = log["runs"]
    return run


# What sarif-schema-2.1.0.json says of each object that is used: property -> type, with ! where it is required.
# Objects take no other properties, except in property bags.
OBJECTS = {
    "run": "tool! invocations artifacts results columnKind",
    "tool": "driver!",
    "toolComponent": "name! version semanticVersion rules",
    "reportingDescriptor": "id! shortDescription fullDescription defaultConfiguration",
    "multiformatMessageString": "text!",
    "reportingConfiguration": "level",
    "invocation": "executionSuccessful! exitCode",
    "artifact": "location parentIndex",
    "artifactLocation": "uri index",
    "result": "message! ruleId ruleIndex level locations relatedLocations properties",
    "message": "text!",
    "location": "id physicalLocation logicalLocations",
    "physicalLocation": "artifactLocation region",
    "region": "startLine byteOffset",
    "logicalLocation": "fullyQualifiedName kind",
}
INSIDE = {
    "tool": "tool", "driver": "toolComponent", "rules": "reportingDescriptor", "invocations": "invocation",
    "shortDescription": "multiformatMessageString", "fullDescription": "multiformatMessageString",
    "defaultConfiguration": "reportingConfiguration", "artifacts": "artifact", "location": "artifactLocation",
    "results": "result", "message": "message", "locations": "location", "relatedLocations": "location",
    "physicalLocation": "physicalLocation", "artifactLocation": "artifactLocation", "region": "region",
    "logicalLocations": "logicalLocation",
}  # fmt: skip


def check(value, kind):
    """Hold an object against the table above, and all that is in it."""
    allowed = OBJECTS[kind].split()
    assert {name for name in allowed if name.endswith("!")} <= {f"{name}!" for name in value}, kind
    assert set(value) <= {name.rstrip("!") for name in allowed}, kind
    for name, item in value.items():
        for inner in item if isinstance(item, list) else [item]:
            if name in INSIDE:
                check(inner, INSIDE[name])


def test_the_log_has_what_its_schema_demands():
    """Every object has its required properties and no unknown ones; levels, indices and addresses are in range."""
    run = run_of(*FILES)
    check(run, "run")
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert result["level"] in {"none", "note", "warning", "error"}
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    for artifact in run["artifacts"]:
        assert re.fullmatch(r"[A-Za-z0-9/_.~%:-]+", artifact["location"]["uri"])  # a URI reference, all else escaped
        assert artifact.get("parentIndex", 0) < len(run["artifacts"])


def test_the_most_dangerous_comes_first():
    """Results follow the verdict of their file, and say how grave they are."""
    results = run_of(*FILES)["results"]
    assert [(r["ruleId"], r["level"]) for r in results] == [
        ("dangerous-call", "error"),
        ("unknown-global", "warning"),
        ("unreadable", "error"),
        ("unknown-global", "warning"),
        ("trailing-bytes", "note"),
    ]


def test_a_clean_file_is_an_artifact_without_results():
    """What was scanned is listed, whatever was found."""
    run = run_of(FILES[3])
    assert [artifact["location"]["uri"] for artifact in run["artifacts"]] == ["ok.pt"]
    assert run["results"] == []


def test_a_byte_of_the_file_is_its_region():
    """Evidence in the file itself has the byte in the region of its location."""
    (result, _) = run_of(FILES[0])["results"]
    (place,) = result["locations"]
    assert place["physicalLocation"]["region"] == {"startLine": 1, "byteOffset": 2}
    assert unquote(place["physicalLocation"]["artifactLocation"]["uri"]) == "sub/net 100%.pt"


def test_a_byte_of_a_member_is_counted_in_the_member():
    """Evidence in a member stands on the file; the byte is that of the member, which lies in the file."""
    run = run_of(FILES[1])
    result = run["results"][0]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "file:///abs/evil.pt", "index": 0},
        "region": {"startLine": 1},
    }
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "archive/data.pkl"
    (inner,) = result["relatedLocations"]
    assert inner["physicalLocation"] == {
        "artifactLocation": {"uri": "/archive/data.pkl", "index": 1},
        "region": {"byteOffset": 123},
    }
    assert run["artifacts"][1]["parentIndex"] == 0
    assert result["message"]["text"] == "archive/data.pkl byte 123 REDUCE: posix.system('echo hi'): runs it"


@pytest.mark.parametrize("name", ["\udc80.pt", "\ud800", "a\nb", "\x1b[0m"])
def test_odd_names_stay_in_their_place(name):
    """Names that are no text are written, and escaped in what people read."""
    evidence = Evidence("unknown-global", "warning", name, name)
    run = run_of(Scanned(name, "unknown", "", (evidence,), 1, 1))
    check(run, "run")
    assert run["results"][0]["message"]["text"].isprintable()
