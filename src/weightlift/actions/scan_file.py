"""One file of a scan: opened, judged, and whatever happens told as a verdict on it."""

from __future__ import annotations

import os

from ..errors import UnknownFormatError, WeightliftError
from ..limits import Limits
from ..scans.scan import scan_source
from ..scans.values import Evidence, Scanned
from ..sources import LocalFile, Source
from ..values import replace

CHECKPOINT_SUFFIXES = (
    *(".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".safetensors", ".distcp", ".metadata"),
    *(".pt2", ".ptl", ".jit", ".th", ".t7", ".mar", ".nemo", ".keras", ".model", ".npy", ".npz", ".gguf"),
)
"""Names under which a file of a folder is scanned whatever is in it. Of any other name, its content decides."""


def scan_file(path: str, *, asked: bool, limits: Limits, deep: bool) -> Scanned | None:
    """Return the verdict on one file; None where it lay in a folder and is plainly no checkpoint.

    Never raises for what the file holds or for how it cannot be read, not even for want of memory:
    one file must not end the scan of a thousand.
    """
    skippable = not asked and not path.lower().endswith(CHECKPOINT_SUFFIXES)
    try:
        source = LocalFile(path)
        if skippable and not _may_be_checkpoint(source, limits):
            return None
        return replace(scan_source(source, limits=limits, deep=deep), path=path)
    except WeightliftError as error:  # of opening it
        if skippable and os.path.isfile(path) and not os.path.getsize(path):
            return None
        return unreadable(path, "source", error.found)
    except MemoryError:
        return unreadable(path, "memory", "reading it takes more memory than there is")
    except OSError as error:
        return unreadable(path, "source", f"it cannot be read: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001 - a defect of ours: told, and never a clean file
        return unreadable(
            path, "defect", f"weightlift fails on it, please report that: {type(error).__name__}: {error}"
        )


def unreadable(path: str, code: str, message: str) -> Scanned:
    """Return the verdict on what could not be looked at."""
    return Scanned(path, "unreadable", "", (Evidence(f"unreadable-{code}", "warning", "", message),), 0, 0)


def _may_be_checkpoint(source: Source, limits: Limits) -> bool:
    """Whether the content is of a kind that is known here; reads the head, and the directory of a zip."""
    from ..formats.base import Probe
    from ..formats.registry import identify

    try:
        identify(Probe(source, limits))
    except UnknownFormatError:
        return False
    except WeightliftError:
        pass
    return True
