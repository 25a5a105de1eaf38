"""The figures of a run as docs/architectures.md."""

from __future__ import annotations

from typing import Any

REFUSES_ITS_OWN = "torch refuses the module's own state dict as well"  # as `load.py` says it

_INTRODUCTION = """\
# Whole modules, read without their classes

`torch.save(model)` pickles the module itself: to load it again, torch imports every class that the
module is made of. weightlift reads the same file without any of them. This page records how far its
answer is the module's own: each architecture below is built by its library's code with random weights
and saved with `torch.save(model)` in the zip and in the legacy format. `weightlift extract` then runs in
an environment where nothing is installed, neither torch nor the library (the check refuses to run where
either can be imported). The result has to be equal to `model.state_dict()`: the same keys in the same
order, the same dtypes and shapes, the same bytes (SHA-256 of every tensor), the same version of every
module in `_metadata`. Back in the library's environment the file has to load with
`load_state_dict(strict=True)` into a module of other weights and give the same bytes, and the
`safetensors` package has to read every plain tensor in it the same.

Run it yourself: `make test-architectures`. The rows are in `tests/architectures/`.
"""

_LIMITS = """\
## What cannot be known without the class

The class's code decides in the end what `state_dict()` returns. Where a file could differ, `extract` says
so in a note, with the path of the module. These rows are made to differ; each does, and each has its note:
"""

_BEYOND = """\
Beyond these:

- A class that is not torch's own could override `state_dict` or `_save_to_state_dict`. The note names such
  classes. Of the libraries here, one class does (peft's LoRA for `MultiheadAttention`, equal above).
- The version that a class gives in `_metadata` is not in the file. torch's own are known, and those of
  torchvision and timm; batch and instance norms are told by their buffers; any other class is given 1,
  torch's default.
- State dict hooks that are known by name are carried out: spectral norm, fx quantisation, checkpoint
  wrappers. Any other is a note.
- Scales and zero points of quantised layers are Python numbers in the file and become 0-d tensors, as in
  torch. Packed parameters come as the tuples, dtypes and script objects that torch's state dict has; in
  the safetensors file their tensors stand under names of their own, and weightlift puts them together
  again.
"""

_REFUSED = """\
## What torch itself does not pickle

`torch.save(model)` fails for these, so there is no file to read. Save their `state_dict()` instead.
"""


def record(groups: list[dict[str, Any]], path: str) -> None:
    """Write the page."""
    pages = [_INTRODUCTION, "## Figures", "", *_figures(groups), ""]
    for group in groups:
        pages += _group(group)
    pages += [_LIMITS, "| architecture | why | first difference |", "|---|---|---|"]
    for row in _rows(groups, "needs_class"):
        pages.append(f"| {row['name']} | {row['needs_class']} | {_cell(row['checks'][0]['difference'])} |")
    pages += ["", _BEYOND, _REFUSED, "| architecture | why |", "|---|---|"]
    pages += [f"| {row['name']} | {row['refused']} |" for row in _rows(groups, "refused")]
    with open(path, "w") as file:
        file.write("\n".join(pages) + "\n")


def _rows(groups: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for group in groups for row in group["rows"] if row[kind]]


def _is_compared(row: dict[str, Any]) -> bool:
    return not row["needs_class"] and not row["refused"]


def _is_equal(row: dict[str, Any]) -> bool:
    checks = row.get("checks") or []
    return bool(checks) and not any(
        c["difference"] or c["versions_off"] or not _loads(c) or c.get("independent", "?") for c in checks
    )


def _loads(check: dict[str, Any]) -> bool:
    return check.get("loaded", "?") in ("", REFUSES_ITS_OWN)


def _figures(groups: list[dict[str, Any]]) -> list[str]:
    out = ["| library | version | architectures | equal | entries compared |", "|---|---|---|---|---|"]
    libraries = dict.fromkeys(group["library"] for group in groups)
    total = [0, 0, 0]
    for library in libraries:
        mine = [group for group in groups if group["library"] == library]
        compared = [row for group in mine for row in group["rows"] if _is_compared(row)]
        entries = sum(c.get("entries", 0) for row in compared for c in row["checks"])
        counts = [len(compared), sum(map(_is_equal, compared)), entries]
        total = [a + b for a, b in zip(total, counts, strict=True)]
        out.append(f"| {library} | {mine[0]['versions'][library]} | {counts[0]} | {counts[1]} | {counts[2]:,} |")
    out.append(f"| all | | {total[0]} | {total[1]} | {total[2]:,} |")
    return [*out, "", f"torch {groups[0]['versions']['torch']}, CPU. Entries are counted in both formats."]


def _group(group: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in group["versions"].items())
    title = group["group"].removeprefix("from_")
    out = [
        f"## {title} ({versions})",
        "",
        "| architecture | entries | zip | legacy | loads strictly |",
        "|---|---|---|---|---|",
    ]
    for row in group["rows"]:
        if not _is_compared(row):
            continue
        checks = row.get("checks") or []
        by = {name: [c for c in checks if c["container"] == name] for name in ("zip", "legacy")}
        entries = sum(c.get("entries", 0) for c in by["zip"])
        equal = {name: not any(c["difference"] or c["versions_off"] for c in found) for name, found in by.items()}
        loads = "yes" if all(_loads(c) and not c.get("independent", "?") for c in checks) else "no"
        if loads == "yes" and any(c["loaded"] for c in checks):
            loads = f"no: {REFUSES_ITS_OWN}"
        words = ["equal" if equal[name] else "differs" for name in by]
        out.append(f"| {row['name']} | {entries} | {words[0]} | {words[1]} | {loads} |")
    return [*out, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")[:90]
