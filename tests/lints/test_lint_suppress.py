"""Comments that keep findings quiet."""

from __future__ import annotations

import pytest

from weightlift.lints.check import check_file
from weightlift.lints.rule import rule
from weightlift.lints.source_file import SourceFile

BAD = "m.load_state_dict(w, strict=False)"
QUIET = [
    f"{BAD}  # noqa",
    f"{BAD}  # noqa: WL401",
    f"{BAD}  # NOQA:E501,WL401",
    f"{BAD}  # noqa: WL4",
    f"{BAD}  # because  # noqa: WL401",
    f"{BAD}  # weightlift: ignore[WL401]",
    f"{BAD}  # weightlift: ignore[WL101, WL401]",
    f"{BAD}  # weightlift: ignore",
    "m.load_state_dict(  # noqa: WL401\n    w, strict=False)",
    "m.load_state_dict(\n    w, strict=False)  # noqa: WL401",
    f"{BAD}\n# weightlift: ignore-file",
    f"{BAD}\n# weightlift: ignore-file[WL401]",
]
HEARD = [
    f"{BAD}  # noqa: WL101",
    f"{BAD}  # noqa: E501",
    f"{BAD}  # noqa:",
    f"{BAD}  # noqable",
    f"{BAD}  # weightlift: ignore[WL101]",
    f"{BAD}  # weightlift: ignored",
    f"{BAD}; x = '# noqa'",
    f"# noqa\n{BAD}",
    f"'# weightlift: ignore-file'\n{BAD}",
    f"{BAD}\n# weightlift: ignore-file[WL101]",
]


def found(text):
    return check_file(SourceFile("a.py", text.encode()), [rule("WL401")])


@pytest.mark.parametrize("text", QUIET)
def test_a_comment_keeps_a_finding_quiet(text):
    """A comment on the first or last line of what is found, or for the file, keeps it quiet."""
    assert found(text) == []


@pytest.mark.parametrize("text", HEARD)
def test_other_text_keeps_nothing_quiet(text):
    """A comment for other codes or on another line, and the same text in a string, keep nothing quiet."""
    assert len(found(text)) == 1
