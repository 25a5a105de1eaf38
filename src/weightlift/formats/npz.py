"""Several numpy arrays: a zip of `.npy` members, stored or compressed."""

from __future__ import annotations

from ..checkpoint import Checkpoint
from ..errors import UnsupportedError, WeightliftError
from ..findings import Finding
from ..pickles import Dict
from ..typed import Any
from .base import Format, Opening, Probe
from .npy import read_array


def _recognises(probe: Probe) -> bool:
    return bool(probe.names) and all(name.endswith(".npy") for name in probe.names)


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    tree = Dict("dict")
    findings = []
    for name in probe.names:
        try:
            tree[name.removesuffix(".npy")] = read_array(probe.archive.open(name))
        except UnsupportedError as error:
            findings.append(Finding("not-a-tensor", "warning", name, str(error)))
        except WeightliftError as error:
            error.at(repr(name))
            raise
    details: dict[str, Any] = {"arrays": len(tree)}
    return Checkpoint(
        tree, format="npz", source=probe.source, details=details, findings=tuple(findings), limits=opening.limits
    )


FORMAT = Format("npz", _recognises, _open)
