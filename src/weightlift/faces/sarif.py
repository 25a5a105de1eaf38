"""A scan as SARIF 2.1.0, the format of code scanning services.

Follows https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. A result stands on the file; where
the evidence lies in a member of it, the member is a nested artifact (3.24.3) and the exact byte a related
location, since a byte offset counts within its artifact.
"""

from __future__ import annotations

import json
import os
from urllib.parse import quote

from .. import __version__
from ..actions.scan import Scan
from ..errors import printable
from ..findings import Severity
from ..scans.values import Evidence, Scanned, Verdict
from ..typed import Any
from .text_of_scans import WORST_FIRST, told

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: dict[Severity, str] = {"danger": "error", "warning": "warning", "note": "note", "info": "note"}
_MEANINGS: dict[Verdict, str] = {
    "dangerous": "A plain load of such a file would run something known to be dangerous.",
    "unknown": "A plain load of such a file would import and run names that are not known to be harmless.",
    "unreadable": "Such a file could not be judged, so it must not be taken for clean.",
    "clean": "Worth knowing; by itself it makes no file unsafe to load.",
}


def scan_sarif(found: Scan) -> str:
    """Return the log file: a rule for each kind of evidence, a result for each piece of it."""
    log = _Log()
    for verdict in WORST_FIRST:
        for file in found.of(verdict):
            log.add(file)
    return sarif_log(log.rules, log.artifacts, log.results, exit_code=found.exit_code)


def sarif_log(
    rules: list[dict[str, Any]],
    artifacts: list[dict[str, Any]],
    results: list[dict[str, Any]],
    *,
    exit_code: int,
    columns: str = "utf16CodeUnits",
) -> str:
    """Return a log file of one run of this program."""
    driver = {"name": "weightlift", "version": __version__, "semanticVersion": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "exitCode": exit_code}],
        "artifacts": artifacts,
        "results": results,
        "columnKind": columns,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


class _Log:
    """What a run refers to by index, and its results."""

    def __init__(self) -> None:
        self.rules: list[dict[str, Any]] = []
        self.artifacts: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self._rules: dict[str, int] = {}
        self._artifacts: dict[tuple[int, str], int] = {}

    def add(self, file: Scanned) -> None:
        """Add a file and what was found in it."""
        place = self._artifact(-1, uri_of(file.path))
        evidence = file.evidence
        if not evidence and file.verdict != "clean":
            evidence = (Evidence(file.verdict, "warning", "", _MEANINGS[file.verdict]),)
        self.results += [self._result(file, each, place) for each in evidence]

    def _result(self, file: Scanned, evidence: Evidence, place: int) -> dict[str, Any]:
        rule = self._rule(file, evidence)
        location: dict[str, Any] = {"physicalLocation": self._physical(place, {"startLine": 1})}  # GitHub wants a line
        result: dict[str, Any] = {
            "ruleId": evidence.code,
            "ruleIndex": rule,
            "level": _level(file, evidence),
            "message": {"text": printable(told(evidence))},
            "locations": [location],
            "properties": {"verdict": file.verdict, **_properties(evidence)},
        }
        region = {} if evidence.offset is None else {"byteOffset": evidence.offset}
        if not evidence.where:
            location["physicalLocation"]["region"] |= region
        else:
            location["logicalLocations"] = [{"fullyQualifiedName": printable(evidence.where), "kind": "member"}]
            member = self._artifact(place, "/" + quote(_bytes(evidence.where.lstrip("/"))))
            result["relatedLocations"] = [{"id": 0, "physicalLocation": self._physical(member, region)}]
        return result

    def _physical(self, artifact: int, region: dict[str, int]) -> dict[str, Any]:
        uri = self.artifacts[artifact]["location"]["uri"]
        place: dict[str, Any] = {"artifactLocation": {"uri": uri, "index": artifact}}
        return place | {"region": region} if region else place

    def _rule(self, file: Scanned, evidence: Evidence) -> int:
        if evidence.code not in self._rules:
            self._rules[evidence.code] = len(self.rules)
            about = {
                "id": evidence.code,
                "shortDescription": {"text": evidence.code.replace("-", " ")},
                "fullDescription": {"text": _MEANINGS[_speaks_for(file, evidence)]},
                "defaultConfiguration": {"level": _level(file, evidence)},
            }
            self.rules.append(about)
        return self._rules[evidence.code]

    def _artifact(self, parent: int, uri: str) -> int:
        key = (parent, uri)
        if key not in self._artifacts:
            self._artifacts[key] = len(self.artifacts)
            self.artifacts.append({"location": {"uri": uri}} | ({"parentIndex": parent} if parent >= 0 else {}))
        return self._artifacts[key]


def _speaks_for(file: Scanned, evidence: Evidence) -> Verdict:
    """Return the verdict that a piece of evidence alone would give."""
    if evidence.severity == "warning":
        return "unreadable" if file.verdict == "unreadable" else "unknown"
    return "dangerous" if evidence.severity == "danger" else "clean"


def _level(file: Scanned, evidence: Evidence) -> str:
    return "error" if _speaks_for(file, evidence) == "unreadable" else _LEVELS[evidence.severity]


def _properties(evidence: Evidence) -> dict[str, Any]:
    given = {"offset": evidence.offset, "opcode": evidence.opcode, "call": printable(evidence.call)}
    given["advisory"] = evidence.advisory
    return {name: value for name, value in given.items() if value not in (None, "")}


def uri_of(path: str) -> str:
    """Return a path as the URI that a log names it by."""
    return ("file://" if os.path.isabs(path) else "") + quote(_bytes(path))


def _bytes(name: str) -> bytes:
    """Return the bytes of a name; what no encoding has, escaped."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace")
