"""The checkpoints of a run as a table, and what was done to them. Control characters are escaped."""

from __future__ import annotations

from ..actions.runs import Runs
from ..errors import plural, printable
from ..training.listing import StoredStep
from .text import human_bytes

_MOST_METRICS = 4


def render_runs(found: Runs) -> str:
    """Return the page that `weightlift runs` prints: one line a checkpoint, the newest last."""
    lines = [_title(found)]
    if found.steps:
        lines += ["", *_table(found)]
    if found.removed:
        gone = ", ".join(str(stored.step) for stored in found.removed)
        freed = human_bytes(sum(stored.nbytes for stored in found.removed))
        verb = "would be removed" if found.dry_run else "removed"
        lines += ["", f"{verb}: {plural(len(found.removed), 'checkpoint')}, {freed}: steps {gone}"]
    told = [f"step {stored.step}: {stored.problem}" for stored in found.damaged]
    told += [f"{name}: set aside earlier" for name in found.broken]
    told += [f"{name}: {why}; left alone" for name, why in found.strangers.items()]
    told += [note for note in found.notes if note not in told]
    if told:
        lines += ["", "notes:", *(f"  {note}" for note in told)]
    return "\n".join(printable(line) for line in lines)


def _title(found: Runs) -> str:
    if not found.steps:
        return f"{found.path}  no checkpoint"
    size = human_bytes(sum(stored.nbytes for stored in found.steps))
    state = ""
    if found.damaged:
        state = f", {len(found.damaged)} broken"
    elif found.verified:
        state = ", all verified"
    return f"{found.path}  {plural(len(found.steps), 'checkpoint')}, {size}{state}"


def _table(found: Runs) -> list[str]:
    rows = [("step", "size", "metrics", "written (UTC)", "kept"), *(_row(stored) for stored in found.steps)]
    cells = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return [
        "  "
        + "  ".join([row[0].rjust(widths[0]), *(c.ljust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in cells
    ]


def _row(stored: StoredStep) -> tuple[str, str, str, str, str]:
    shown = [f"{name} {value:.6g}" for name, value in list(stored.metrics.items())[:_MOST_METRICS]]
    more = f" and {len(stored.metrics) - _MOST_METRICS} more" if len(stored.metrics) > _MOST_METRICS else ""
    state = ["BROKEN"] if stored.problem else list(stored.kept) or ["not kept"]
    if stored.pinned and "pinned" not in state:
        state.append("pinned")
    if stored.partial:
        state.append(f"partial: {', '.join(stored.partial)}")
    when = stored.time[:16].replace("T", " ")
    return str(stored.step), human_bytes(stored.nbytes), ", ".join(shown) + more, when, "; ".join(state)
