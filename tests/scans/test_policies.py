"""`wl.open(path, policy=...)`: what is refused, and with which evidence."""

from __future__ import annotations

import pytest

import weightlift as wl

from builders import named, pickled, torch_zip
from hidden import CALL, EVIL, benign_with

MODULE = pickled(named("models", "Net") + b")\x81}b")


@pytest.mark.parametrize(
    ("pickle", "policy"),
    [
        (EVIL, "refuse-dangerous"), (EVIL, "refuse-unknown"), (MODULE, "refuse-unknown"),
        (pickled(b"N") + EVIL, "refuse-dangerous"),
    ],
)  # fmt: skip
def test_refused(write, pickle, policy):
    """A policy refuses before anything is handed out, and the error carries the evidence."""
    path = write(torch_zip(pickle))
    with pytest.raises(wl.UnsafeError) as caught:
        wl.open(path, policy=policy)
    assert caught.value.scanned.verdict in str(caught.value)
    assert str(caught.value).startswith(str(path))
    if EVIL in pickle:
        assert CALL in str(caught.value)


@pytest.mark.parametrize(
    ("pickle", "policy"), [(EVIL, "read"), (MODULE, "read"), (MODULE, "refuse-dangerous"), (None, "refuse-unknown")]
)
def test_not_refused(write, pickle, policy):
    """Reading refuses nothing; refusing what is dangerous leaves ordinary modules."""
    path = write(torch_zip(pickle) if pickle else torch_zip())
    assert wl.open(path, policy=policy).format == "torch-zip"


def test_no_policy(write):
    """A policy that does not exist is refused where it is written."""
    with pytest.raises(ValueError, match="policy 'strict'; expected one of read, "):
        wl.open(write(torch_zip(benign_with(b"N"))), policy="strict")  # type: ignore[arg-type]
