"""The tables of globals: one verdict for each, and advisories only of what is dangerous."""

from __future__ import annotations

import re

import pytest

from weightlift.pickles import Global
from weightlift.pickles.dangerous_globals import _TABLE, DANGEROUS
from weightlift.pickles.known_globals import advisory_of, verdict_of


@pytest.mark.parametrize(
    ("module", "name", "verdict"),
    [
        ("collections", "OrderedDict", "clean"),
        ("torch._utils", "_rebuild_tensor_v2", "clean"),
        ("torch.distributed.checkpoint.metadata", "Metadata", "clean"),
        ("__torch__.torch.nn", "Linear", "unknown"),
        ("torch.nn.modules.linear", "Linear", "unknown"),
        ("mypackage", "Outer.Inner", "unknown"),
        ("functools", "partial", "unknown"),
        ("dill._dill", "_load_type", "unknown"),
        ("dill._dill", "_create_function", "dangerous"),
        ("numpy.f2py", "os.system", "dangerous"),
        ("mypackage", "Outer.__class__", "dangerous"),
        ("mypackage", "__dict__", "dangerous"),
        ("torch.serialization", "os", "dangerous"),
        ("collections", "_sys", "dangerous"),
        ("__torch__", "os.system", "dangerous"),
        ("os.path", "join", "dangerous"),
        ("pip._internal", "main", "dangerous"),
        ("_io", "FileIO", "dangerous"),
        ("torch._dynamo.guards", "GuardBuilder.get", "dangerous"),
    ],
)
def test_verdicts(module, name, verdict):
    """A global is clean by the allowlist, dangerous by the table or by where its name leads, else unknown."""
    assert verdict_of(Global(module, name)) == verdict


def test_table():
    """Every line of the table is dangerous, stands once, and its advisory is a CVE or GHSA number."""
    lines = _TABLE.strip().split("\n")
    assert len(lines) == len(set(lines))
    for module, names in DANGEROUS.items():
        for name, advisory in names.items():
            named = Global(module, "anything" if name == "*" else name)
            assert verdict_of(named) == "dangerous"
            assert advisory_of(named) == advisory
            assert re.fullmatch(r"|CVE-\d{4}-\d{4,}|GHSA(-[0-9a-z]{4}){3}", advisory)
