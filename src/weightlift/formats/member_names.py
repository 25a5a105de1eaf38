"""Names of a torch archive's members that two readers would look up differently, or that lead out of a folder."""

from __future__ import annotations

from collections.abc import Sequence

from ..containers import ZipArchive
from ..errors import TwoReadingsError, plural
from ..findings import Finding

_MOST = 4


def check_torch_names(archive: ZipArchive) -> None:
    """Refuse names that differ in nothing but case: torch looks names up without regard to it.

    Raises:
        TwoReadingsError: says which members.
    """
    names = archive.names()
    if len(set(map(str.lower, names))) == len(names):
        return
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            places = [f"{each!r} at byte {archive.members[each].header_offset}" for each in (other, name)]
            raise TwoReadingsError(
                f"two members are called {other!r} and {name!r}",
                code="case-collision",
                readings=(
                    f"torch looks names up without regard to case and may take {places[0]} for either",
                    f"Python's zipfile takes the one that is spelled so, {places[1]} among them",
                ),
                expected="names that differ in more than case",
            )


def odd_names(names: Sequence[str]) -> tuple[Finding, ...]:
    """Return what there is to say of names that mean something else once a member is unpacked."""
    text = "\n".join(names)
    findings = []
    if "\\" in text or ".." in text or "\n/" in f"\n{text}" or ":" in text:
        outside = [name for name in names if _leads_outside(name)]
        if outside:
            message = f"{plural(len(outside), 'member')} would be unpacked elsewhere: {_listed(outside)}"
            findings.append(Finding("outside-names", "warning", "", message))
    if not text.isascii():
        findings += _same_once_normalised(names)
    return tuple(findings)


def _leads_outside(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return "\\" in name or name.startswith("/") or ".." in parts or parts[0][1:2] == ":"


def _same_once_normalised(names: Sequence[str]) -> list[Finding]:
    import unicodedata

    seen: dict[str, str] = {}
    pairs = []
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other is not name:
            pairs.append(f"{other!r} and {name!r}")
    if not pairs:
        return []
    message = f"names that file systems take for one: {', '.join(pairs[:_MOST])}"
    return [Finding("colliding-names", "warning", "", message)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_MOST])) + (" ..." if len(names) > _MOST else "")
