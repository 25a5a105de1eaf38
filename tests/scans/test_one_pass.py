"""A pickle that a format reads is carried out once, unless it is dangerous or hides what it calls."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch

import weightlift as wl
from weightlift.errors import WeightliftError
from weightlift.limits import DEFAULT_LIMITS
from weightlift.pickles import noticing
from weightlift.pickles.noticing import SeenPickles
from weightlift.pickles.watching import Watched, watch_pickle
from weightlift.sources import LocalFile
from weightlift.tensors import rebuilders

_TAG = b"ctorch.jit._pickle\nrestore_type_tag\n"
_PLAIN = b"\x80\x02ccollections\nOrderedDict\n)R."
_ODD = {
    "a name that is not known": b"\x80\x02cposix\nsystem\n.",
    "the call of what a call gives": b"\x80\x02ccollections\nOrderedDict\n)R)R.",
    "an object of what a call gives": b"\x80\x02ccollections\nOrderedDict\n)R)\x81.",
    "a name that a known call hands on": b"\x80\x02" + _TAG + b"(ccollections\nOrderedDict\nNtR)R.",
    "a key that a known call hands on": b"\x80\x02(U\7storageN" + _TAG + b"(U\x010NtRU\3cpuK\1tQ.",
    "an id that a known call makes": b"\x80\x02c__builtin__\ntuple\n((U\7storageNU\x010t\x85RQ.",
    "a name that an id stands for": b"\x80\x02(U\6modulectorch\nSize\ntQ)R.",
    "an array of joblib": b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}b.",
    "items set on a name": b"\x80\x02cm\nC\nNNs.",
}
_ORDINARY = {
    "a value": _PLAIN,
    "a name that nobody knows": b"\x80\x02cm\nC\n.",
    "an object with a state": b"\x80\x02cm\nC\n)\x81}N]sb.",
    "a second state": b"\x80\x02cm\nC\n)\x81}b}NNsb.",
    "an object that a clean call makes": b"\x80\x02ccopyreg\n_reconstructor\n(cm\nC\nc__builtin__\nobject\nNtR.",
    "the call of what an unknown call gives": b"\x80\x02cm\nf\n)R)R.",
    "a code of the extension registry": b"\x80\x02\x82\x01.",
    "bytes that torch unpickles": b"\x80\x02ctorch.storage\n_load_from_bytes\n(C\1.tR.",
    "an unknown object with items": b"\x80\x02cm\nC\n)\x81(NNu(Ne.",
}


def _fields(watched: Watched) -> list[object]:
    plain = [str(getattr(watched, name)) for name in Watched.__match_args__ if name not in ("sights", "ids", "loads")]
    return [*plain, watched.loads, [(s.kind, s.verdict, s.offset, s.opcode, s.named) for s in watched.sights]]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the sources in which a pickle is watched for itself."""
    names: list[str] = []

    def watch(source: object, *given: object) -> Watched:
        names.append(source.name)  # type: ignore[attr-defined]
        return watch_pickle(source, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(noticing, "watch_pickle", watch)
    return names


def _read(path: Path, data: bytes) -> tuple[SeenPickles, LocalFile]:
    path.write_bytes(data)
    pickles, source = SeenPickles(), LocalFile(path)
    rebuild = rebuilders(type_tag=lambda value, _: value, storage_from_bytes=lambda _: None)
    with suppress(WeightliftError):
        pickles.read(source, rebuild=rebuild, persistent=lambda identifier: identifier[1])
    return pickles, source


def test_a_state_dict_is_carried_out_once(tmp_path: Path, watched: list[str]) -> None:
    """Neither the pickle of a zip nor the five of a legacy stream are watched after they were read."""
    torch.save({"a": torch.ones(2)}, tmp_path / "new.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert wl.scan(tmp_path).verdict == "clean"
    assert not [name for name in watched if name == "old.pt" or name.endswith("data.pkl")]


@pytest.mark.parametrize("data", _ORDINARY.values(), ids=list(_ORDINARY))
def test_what_was_read_is_what_watching_sees(data: bytes, tmp_path: Path, watched: list[str]) -> None:
    """Reading a pickle keeps all that watching it would have told."""
    pickles, source = _read(tmp_path / "plain.pkl", data)
    seen = pickles.watch(source, 0, DEFAULT_LIMITS)
    assert not watched
    assert _fields(seen) == _fields(watch_pickle(source, 0, DEFAULT_LIMITS))
    assert seen.globals.keys() == watch_pickle(source, 0, DEFAULT_LIMITS).globals.keys()


@pytest.mark.parametrize("data", _ODD.values(), ids=list(_ODD))
def test_what_could_hide_something_is_watched(data: bytes, tmp_path: Path, watched: list[str]) -> None:
    """Whatever a rebuilt value could hide from the scan has the pickle carried out once more, as it stands."""
    pickles, source = _read(tmp_path / "odd.pkl", data)
    pickles.watch(source, 0, DEFAULT_LIMITS)
    assert watched == ["odd.pkl"]


def test_a_smaller_budget_is_held(tmp_path: Path, watched: list[str]) -> None:
    """What takes more opcodes than are left of the file's is told as ever."""
    pickles, source = _read(tmp_path / "plain.pkl", _PLAIN)
    assert pickles.watch(source, 0, wl.Limits(opcodes=3)).error is not None
    assert watched == ["plain.pkl"]
