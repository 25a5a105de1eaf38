"""Inspections and errors as plain text of a given width. Control characters are escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..actions.inspect import Entry, Inspection, Safety, Summary
from ..blocks import compress
from ..errors import plural, printable
from ..findings import Finding

_SHORT = (
    ("bfloat", "bf"),
    ("float", "f"),
    ("quint", "qu"),
    ("qint", "qi"),
    ("uint", "u"),
    ("int", "i"),
    ("complex", "c"),
)
_MOST_STATE_DICTS = 12
_MOST_NAMES = 6


def render_inspection(found: Inspection, *, width: int, every_tensor: bool = False) -> str:
    """Return the page that `weightlift inspect` prints."""
    lines = [f"{found.path}  {found.format}, {human_bytes(found.size)}"]
    if found.producers:
        lines.append(f"made by: {', '.join(found.producers)}")
    shown = found.state_dicts[:_MOST_STATE_DICTS]
    for summary in shown:
        lines += ["", *_summary(summary, width, every_tensor=every_tensor)]
    if len(found.state_dicts) > len(shown):
        lines += ["", f"and {len(found.state_dicts) - len(shown)} more state dicts (--json lists them)"]
    if not found.state_dicts:
        lines += ["", "no state dict"]
    if found.contents:
        lines += ["", "beside the weights:"]
        lines += _table([(c.path, c.kind, c.about) for c in found.contents], width)
    if found.other_tensors:
        nbytes = sum(entry.nbytes for entry in found.other_tensors)
        lines += ["", f"{plural(len(found.other_tensors), 'tensor')} outside any state dict, {human_bytes(nbytes)}"]
        if every_tensor:
            lines += _table([_columns(entry.key, entry, 1) for entry in found.other_tensors], width)
    lines += _findings(found.findings)
    if found.verified is not None:
        said = "every byte was read, and none is wrong" if found.verified else "DAMAGED, see the warnings above"
        lines += ["", f"verified: {said}"]
    if len(found.state_dicts) > 1 and found.chosen is None:
        lines += ["", "extract needs --name: none of these is plainly the weights"]
    lines += ["", safety_line(found.safety)]
    return "\n".join(_wrapped(printable(line), width) for line in lines)


def _wrapped(line: str, width: int) -> str:
    """Break a sentence that is wider than the terminal; rows of tables already fit."""
    if not width or len(line) <= width:
        return line
    from textwrap import fill

    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return fill(line, max(width, 40), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def safety_line(safety: Safety) -> str:
    """Return the verdict in one line: what a plain torch.load would import."""
    if safety.verdict == "dangerous":
        return f"safety: DANGEROUS: a plain torch.load would run {_listed(safety.dangerous)} (nothing was run here)"
    if safety.verdict == "unknown":
        return (
            f"safety: unknown: a plain torch.load would import and run {plural(len(safety.unknown), 'name')} not known "
            f"to be harmless: {_listed(safety.unknown)} (nothing was run here)"
        )
    return "safety: clean: only names that rebuild tensors and plain values"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _summary(summary: Summary, width: int, *, every_tensor: bool) -> Iterable[str]:
    title = f"state dict {summary.name!r}" if summary.name else "state dict"
    what = f"module {summary.class_name}" if summary.kind == "module" else summary.class_name
    tensors = sum(1 for entry in summary.entries if entry.role != "value")
    yield f"{title}  ({what})  {plural(tensors, 'tensor')}, {_values(summary)}, {human_bytes(summary.nbytes)}"
    if every_tensor:
        rows = [_columns(entry.key, entry, 1) for entry in summary.entries]
    else:
        grouped = compress(
            (entry.key, (entry.dtype, entry.shape, entry.layout, entry.absent)) for entry in summary.entries
        )
        by_key = {entry.key: entry for entry in summary.entries}
        rows = [_columns(row.template, by_key[row.first], row.count) for row in grouped]
    yield from _table(rows, width)
    if summary.dtypes:
        totals = (f"{short_dtype(n)} {numel:,} ({human_bytes(size)})" for n, (_, numel, size) in summary.dtypes.items())
        yield f"  dtypes: {', '.join(totals)}"
    for keys in summary.ties[:_MOST_NAMES]:
        yield f"  tied: {' = '.join(keys[:4])}{' = ...' if len(keys) > 4 else ''}"
    if len(summary.ties) > _MOST_NAMES:
        yield f"  and {len(summary.ties) - _MOST_NAMES} more ties"


def _values(summary: Summary) -> str:
    """How many values there are; a module says which are parameters, a plain dict does not."""
    if not summary.parameters:
        return plural(summary.numel, "value")
    buffers = summary.numel - summary.parameters
    return plural(summary.parameters, "parameter") + (f" and {plural(buffers, 'buffer value')}" if buffers else "")


def _columns(name: str, entry: Entry, count: int) -> tuple[str, str, str, str]:
    shape = " x ".join("?" if n < 0 else str(n) for n in entry.shape) or ("scalar" if entry.role != "value" else "")
    kind = short_dtype(entry.dtype)
    if entry.layout != "strided":
        kind = f"{kind} {entry.layout}".strip()
    if entry.absent:
        kind += f" [no data: {entry.absent}]"
    return name, shape, kind, f"x{count}" if count > 1 else ""


def _table(rows: Sequence[tuple[str, ...]], width: int) -> Iterable[str]:
    """Align columns; names too long for the width are cut in the middle, other columns never."""
    if not rows:
        return
    cells = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    rest = sum(widths[1:]) + 2 * len(widths)
    widths[0] = max(16, min(widths[0], width - rest)) if width else widths[0]
    for row in cells:
        first = _cut(row[0], widths[0])
        line = "  " + "  ".join(cell.ljust(w) for cell, w in zip((first, *row[1:]), widths, strict=True))
        yield _cut(line.rstrip(), max(width, 40)) if width else line.rstrip()


def _cut(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    left = (width - 3) // 2
    return text[:left] + "..." + text[len(text) - (width - 3 - left) :]


def _findings(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    lines = ["", "notes:"]
    for finding in findings:
        where = f"{finding.where}: " if finding.where else ""
        lines.append(f"  {finding.severity}: {where}{finding.message}")
    return lines


def short_dtype(name: str) -> str:
    """Return torch's dtype name as people write it in tables: bf16, i64, f8_e4m3fn."""
    for long, short in _SHORT:
        if name.startswith(long):
            return short + name[len(long) :]
    return name


def human_bytes(nbytes: int) -> str:
    """Return a size in decimal units with three digits."""
    size = float(nbytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{nbytes} bytes" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
