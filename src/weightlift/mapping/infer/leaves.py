"""What becomes of one tensor: nothing, another shape, or its dimensions turned."""

from __future__ import annotations

from .trees import squeezed

Shape = tuple[int, ...]


def operation(source: Shape, target: Shape) -> str | None:
    """Return the operation that makes one shape of another of as many elements, or None where there is none."""
    if source == target:
        return ""
    if squeezed(source) == squeezed(target):
        return f"reshape({', '.join(map(str, target)) or '[]'})"
    return "t" if len(source) == 2 and source[::-1] == target else None
