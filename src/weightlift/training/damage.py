"""Whether a checkpoint that cannot be opened is damaged, or only cannot be read here and now.

What is damaged is set aside and an older one taken; with a permission missing, a package or a newer version that
would throw good work away, so there the error is raised.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import LimitError, MalformedError, SourceError, UnsupportedError, WeightliftError
from ..writers.manifest import Manifest, is_whole
from .listing import manifest_bytes


def is_damage(error: WeightliftError, path: str) -> bool:
    """Return whether what opening the checkpoint at `path` raised speaks of its content."""
    if isinstance(error.__cause__, OSError):
        return error.__cause__.errno == errno.EIO
    if isinstance(error, UnsupportedError):
        return not _is_of_a_newer_version(path)
    if isinstance(error, SourceError):
        return _is_incomplete(path)
    return isinstance(error, MalformedError | LimitError)


def _is_of_a_newer_version(path: str) -> bool:
    """Whether the manifest's own hash agrees: then it is no damaged one of this version."""
    try:
        return is_whole(manifest_bytes(path))
    except WeightliftError:
        return False


def _is_incomplete(path: str) -> bool:
    """Whether a file of the checkpoint is gone, or not as large as its manifest says."""
    try:
        sizes = {name: record.nbytes for name, record in Manifest.from_bytes(manifest_bytes(path)).files.items()}
    except MalformedError:
        return True
    except WeightliftError:
        return False
    for name, nbytes in sizes.items():
        try:
            status = os.lstat(os.path.join(path, name))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode) or status.st_size != nbytes:
            return True
    return False
