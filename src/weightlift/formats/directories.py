"""Which file stands for a path: of a checkpoint directory its manifest, of anything else the path itself."""

from __future__ import annotations

import os


def file_of(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return the manifest of a checkpoint directory, also where a crash left that under its other name; else `path`."""
    try:
        is_file = os.path.isfile(path)
    except (TypeError, ValueError):
        return path
    if is_file:
        return path
    from ..writers.leftovers import settled
    from ..writers.manifest import MANIFEST

    manifest = os.path.join(settled(path), MANIFEST)
    return manifest if os.path.isfile(manifest) else path
