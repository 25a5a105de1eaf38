"""docs/scanning.md shows what the command prints."""

from __future__ import annotations

from pathlib import Path

from weightlift.faces.cli import main

from test_pages import ROOT, blocks_of, run_page


def test_the_console_shows_what_is_printed(tmp_path: Path, monkeypatch, capsys):
    """Each command of the page, run where the page's Python blocks were, prints what stands below it."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs/scanning.md"
    run_page(page, {}, monkeypatch)
    consoles = [block.text for block in blocks_of(page.read_text("utf-8")) if block.language == "console"]
    assert consoles
    for text in consoles:
        command, _, printed = text.removeprefix("$ weightlift ").partition("\n")
        capsys.readouterr()
        main(command.split())
        assert capsys.readouterr().out == printed
