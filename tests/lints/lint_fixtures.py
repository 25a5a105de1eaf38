"""The fixtures of rules, as tests ask for them: a file of bad code, what is to be found, what is to come out."""

from __future__ import annotations

import re
from pathlib import Path

from weightlift.lints.check import check_file
from weightlift.lints.fixing import choose, edits_by_path, rewritten
from weightlift.lints.pairs import Project
from weightlift.lints.rule import rule
from weightlift.lints.source_file import SourceFile
from weightlift.lints.values import Diagnostic, Settings

FIXTURES = Path(__file__).parent / "fixtures"
_SETTING = re.compile(r"# lint: (.*)")


def fixtures(kind: str) -> list[Path]:
    """Return every fixture of a kind: `bad`, `good`, `fixed`."""
    return sorted(FIXTURES.glob(f"WL*/{kind}_*.py"))


def name(path: Path) -> str:
    """Return what a test of a fixture is called."""
    return f"{path.parent.name}-{path.stem}"


def settings_of(data: bytes) -> Settings:
    """Return what the first line of a fixture asks for: `# lint: torch-min=2.1 to=weightlift`."""
    found = _SETTING.match(data.decode().partition("\n")[0])
    given = dict(word.split("=") for word in found[1].split()) if found else {}
    major, minor = given.get("torch-min", "2.6").split(".")
    return Settings(torch_min=(int(major), int(minor)), to=given.get("to"))


def findings(path: Path, data: bytes | None = None) -> list[Diagnostic]:
    """Return what the rule of a fixture's folder finds in it."""
    data = path.read_bytes() if data is None else data
    settings = settings_of(data)
    one = rule(path.parent.name)
    if not one.wanted(settings):
        return []
    return check_file(SourceFile(str(path), data, settings, Project([str(path)])), [one])


def expected_lines(path: Path) -> list[int]:
    """Return the lines that a comment `# WL101` says the rule finds something on; twice the code, twice the line."""
    code = path.parent.name
    lines = path.read_text(encoding="utf-8").splitlines()
    return [at for at, line in enumerate(lines, 1) for _ in re.findall(rf"\b{code}\b", line.partition("  # ")[2])]


def fixed(path: Path) -> bytes:
    """Return a fixture with every fix of its rule carried out, unsafe ones too, until nothing is left to fix."""
    data = path.read_bytes()
    for _ in range(5):
        chosen = choose(findings(path, data), unsafe=True)
        if not chosen:
            break
        data = rewritten(data, edits_by_path(chosen)[str(path)])
    return data
