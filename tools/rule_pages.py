"""Write docs/rules/ from what the rules say of themselves: a page for each, and the table of all in README.md there.

    PYTHONPATH=src python tools/rule_pages.py

A test says when they are no longer what this makes.
"""

from __future__ import annotations

from pathlib import Path

from weightlift.actions.rule import page_of, rules

FOLDER = Path(__file__).parents[1] / "docs/rules"
_MADE = "<!-- made by tools/rule_pages.py from src/weightlift/lints/rules/{} -->\n\n"
_FIX = {"safe": "safe", "unsafe": "unsafe", None: ""}


def pages() -> dict[str, str]:
    """Return the text of every file of docs/rules by its name."""
    made = {}
    rows = ["| code | name | what is wrong | fix | by default |", "|---|---|---|---|---|"]
    for one in rules():
        made[f"{one.code}.md"] = _MADE.format(one.name.replace("-", "_") + ".py") + page_of(one).rstrip() + "\n"
        standing = "on" if one.on_by_default else "off"
        summary = one.summary[:1].upper() + one.summary[1:]
        link = f"[{one.code}]({one.code}.md)"
        rows.append(f"| {link} | {one.name} | {summary} | {_FIX[one.grade]} | {standing} |")
    head = "# Rules\n\nThe same pages as `weightlift rule CODE` shows. How to run them: [lint](../lint.md).\n\n"
    made["README.md"] = _MADE.format("*.py") + head + "\n".join(rows) + "\n"
    return made


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.md"):
        old.unlink()
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
