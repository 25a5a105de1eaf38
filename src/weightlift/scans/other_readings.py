"""Pickles with arrays of joblib in them, as other unpicklers read them: what only those see is told."""

from __future__ import annotations

from ..errors import TwoReadingsError
from ..pickles.other_readings import watch_otherwise
from ..pickles.watching import Sight, Watched
from ..sources import Source
from ..values import replace
from .gathered import Gathered


def in_other_readings(source: Source, watched: Watched, gathered: Gathered) -> list[tuple[str, Watched]]:
    """Return (who reads so, what is seen) for each reading that sees more than joblib does, or ends elsewhere."""
    known = {_key(sight) for sight in watched.sights}
    names = {named.name for named in watched.globals}
    loaded = {offset for _, offset in watched.loads}
    found = []
    for reader, other in watch_otherwise(source, watched.start, gathered.limits):
        sights = [sight for sight in other.sights if _key(sight) not in known and _can_be(sight, names)]
        loads = [load for load in other.loads if load[1] not in loaded]
        if sights or loads or (other.error is None and other.end != watched.end):
            found.append((reader, replace(other, sights=sights, loads=loads)))
    return found


def two_readings(reader: str, at: int) -> TwoReadingsError:
    """Return what there is to say where another unpickler goes on in an array of joblib, up to byte `at`."""
    return TwoReadingsError(
        "a pickle with an array of joblib in it",
        code="inline-array",
        readings=("joblib passes over the array", f"{reader} takes what is there for opcodes and goes on to byte {at}"),
        expected="an array that is none to anybody else",
    )


def _key(sight: Sight) -> tuple[str, int, str]:
    return sight.kind, sight.offset, str(sight.named)


def _can_be(sight: Sight, names: set[str]) -> bool:
    """Whether a sight is meant: bytes of an array that are taken for a name mostly are none, or an unused code.

    In an array of objects a plain unpickler takes texts out of the memo for each other, so that `numpy.dtype` is
    `shape.dtype` to it, which it does not find. Such a name is told where it is dangerous.
    """
    if sight.verdict == "dangerous":
        return True
    return sight.kind != "extension" and str(sight.named).isprintable() and sight.named.name not in names
