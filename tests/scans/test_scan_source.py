"""The verdict on one file: dangerous wherever a pickle hides, clean where there is nothing, never an exception."""

from __future__ import annotations

import struct
import subprocess
import sys
import zipfile

import pytest

from weightlift.limits import Limits
from weightlift.scans import EXIT_CODES, Scanned, scan_source, worst
from weightlift.sources import Memory

from builders import (
    BENIGN,
    FOUR_FLOATS,
    call,
    dict_of,
    named,
    pickled,
    safetensors,
    tensor,
    text,
    torch_legacy,
    torch_zip,
)
from hand_made_zips import torch_entries, zip_of
from hidden import CALL, EVIL, EVIL_VALUE, KINDS, PLACES, PROTOCOL_0, benign_with, npy, short_bytes, tarred, zipped


def scanned(data: bytes, name: str = "model.pt", *, deep: bool = False, limits: Limits | None = None) -> Scanned:
    return scan_source(Memory(data, name), deep=deep, limits=limits or Limits())


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_hidden_pickle(place):
    """A pickle that calls os.system is found wherever it lies, with the call that it would make."""
    found = scanned(place(EVIL))
    assert found.verdict == "dangerous"
    assert CALL in [each.call for each in found.evidence if each.severity == "danger"]


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_benign_pickle_in_its_place(place):
    """The same places with a plain value in them are never dangerous and never unknown but where torch loads bytes."""
    found = scanned(place(pickled(b"N")))
    assert found.verdict in ("clean", "unreadable"), found.evidence


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_every_way_to_call(data):
    """Each opcode that calls is told with the call."""
    for whole in (data, torch_zip(data)):
        found = scanned(whole)
        assert found.verdict == "dangerous"
        assert CALL in [each.call for each in found.evidence]


def test_place_of_a_call():
    """Evidence has the member, the byte and the name of the opcode that calls."""
    data = benign_with(EVIL_VALUE)
    (each,) = scanned(torch_zip(data)).evidence
    assert (each.code, each.severity, each.where, each.opcode) == (
        "dangerous-call", "danger", "archive/data.pkl", "REDUCE"
    )  # fmt: skip
    assert each.offset == data.rindex(b"R")


def test_pickle_that_belongs_to_no_member():
    """A pickle between the members of a zip is found where it lies, and that nothing refers to it is told."""
    found = scanned(zip_of(*torch_entries(), gaps={1: EVIL}))
    assert [each.call for each in found.evidence if each.code == "dangerous-call"] == [CALL]
    assert found.verdict == "dangerous"
    assert "unreferenced-bytes" in [each.code for each in found.evidence]


def test_wrong_extension_is_told():
    """What a file is not, by its name, is noted; its verdict is that of what it is."""
    found = scanned(torch_zip(), "model.safetensors")
    assert [(each.code, each.severity) for each in found.evidence] == [("wrong-extension", "note")]
    assert found.verdict == "clean"


@pytest.mark.parametrize("data", [torch_zip(), torch_legacy(), BENIGN, zipped(("a.npy", npy("<f8", bytes(16)))),
                                  npy("|O", pickled(b"]")), tarred(("a.pt", torch_zip()))],
                         ids=["zip", "legacy", "bare", "npz", "objects", "tar"])  # fmt: skip
def test_benign_files(data):
    """Files of tensors and plain values have no evidence against them."""
    found = scanned(data)
    if data is BENIGN:
        assert found.verdict == "unreadable"  # its storages lie in another file
    else:
        assert (found.verdict, [each for each in found.evidence if each.severity != "note"]) == ("clean", [])
    assert found.pickle_nbytes <= len(data)


def test_counts():
    """A scan tells how many pickles it looked at and their bytes."""
    found = scanned(torch_legacy())
    assert (found.format, found.pickles) == ("torch-legacy", 5)
    assert found.pickle_nbytes == len(torch_legacy()) - 8 - len(FOUR_FLOATS)


def test_whole_module():
    """A module of a class that is not known is unknown, one line for each class and opcode however often it comes."""
    state = dict_of(("training", b"\x88"))
    net = named("models", "Net") + b")\x81" + state + b"b"
    found = scanned(torch_zip(pickled(b"](" + net * 5 + b"e")))
    assert found.verdict == "unknown"
    assert [(each.code, each.opcode) for each in found.evidence] == [
        ("unknown-call", "NEWOBJ"),
        ("unknown-state", "BUILD"),
    ]
    assert found.evidence[0].message == "makes an object of the class models.Net"
    assert found.evidence[1].call == "models.Net().__setstate__({'training': True})"


def test_import_alone():
    """A name that is never called is told as an import, which runs its module's code already."""
    (each,) = scanned(torch_zip(benign_with(named("antigravity", "geohash")))).evidence
    assert (each.code, each.opcode, each.call) == ("dangerous-import", "GLOBAL", "")
    assert "imports antigravity.geohash" in each.message
    assert "does not call it" in each.message


def test_extension_codes():
    """What a code of copyreg stands for, only the loading process knows."""
    found = scanned(torch_zip(pickled(b"\x82\x4d)R")))
    assert found.verdict == "unknown"
    assert [(each.code, each.opcode) for each in found.evidence] == [
        ("unknown-extension", "EXT1"),
        ("unknown-call", "REDUCE"),
    ]


def test_computed_name():
    """A name that is put together while loading is dangerous: nothing else would hide it."""
    joined = call(named("builtins", "str"), text("posix"))
    found = scanned(b"\x80\x04" + joined + text("system") + b"\x93" + text("id") + b"\x85R.")
    assert found.verdict == "dangerous"
    assert found.evidence[0].code == "dangerous-computed"


@pytest.mark.parametrize("change", [b"}(" + text("a") + b"Nub", b"Na", text("a") + b"Ns"])
def test_change_of_a_module(change):
    """A pickle that writes into what it imports says so."""
    found = scanned(pickled(named("os", "environ") + change))
    assert found.verdict == "dangerous"
    assert any("os.environ" in each.message for each in found.evidence)


def test_protocol_0_in_text():
    """A pickle made of letters is one under any name; prose that begins like one is none."""
    assert scanned(PROTOCOL_0, "README.md").verdict == "dangerous"
    assert scanned(b"cool\nthings\nfollow\n", "README.md").verdict == "unreadable"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("README.md", b"# Title\n\nwords\n", "not-a-checkpoint"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "not-a-checkpoint"),
        ("config.json", b'{"a": 1}', "not-a-checkpoint"),
        ("model.pt", b"version https://git-lfs.github.com/spec/v1\n", "unrecognised"),
        ("model.bin", b"<html>not found</html>", "unrecognised"),
        ("blob", bytes(range(256)), "unrecognised"),
        ("a.pt", b"7z\xbc\xaf\x27\x1c" + bytes(100), "unsupported"),
    ],
)
def test_no_checkpoints(name, data, code):
    """What no format recognises is unreadable, passed over in a folder where it is plainly something else."""
    found = scanned(data, name)
    assert (found.verdict, found.format) == ("unreadable", "")
    assert code in [each.code for each in found.evidence]


BROKEN = {
    "sizes-disagree": torch_zip().replace(struct.pack("<II", 16, 16), struct.pack("<II", 9999, 9999), 1),
    "memo": torch_zip(pickled(b"h\x07")),
    "protocol": torch_zip(b"\x80\x63}."),
    "truncated-zip": torch_zip()[:-30],
    "truncated-legacy": torch_legacy()[:-9],
    "storage-too-short": torch_zip(pickled(tensor((400,)))),
    "memo-index": torch_zip(b"\x80\x02}r\xff\xff\xff\xff."),
    "frame": torch_zip(b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"}."),
    "duplicate": zipped(("archive/data.pkl", BENIGN), ("archive/data.pkl", pickled(b"N"))),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_never_clean(data):
    """Broken files, and those that are read in two ways, are unreadable."""
    found = scanned(data)
    assert found.verdict == "unreadable"
    assert found.evidence


@pytest.mark.parametrize("limits", [Limits(opcodes=3), Limits(archives=0), Limits(members=1), Limits(text_bytes=4)])
def test_spent_budgets(limits):
    """A file that takes more than a budget allows is unreadable for that reason."""
    found = scanned(zipped(("a.zip", torch_zip())), limits=limits)
    assert found.verdict == "unreadable"
    assert "limit" in [each.code for each in found.evidence]


def test_bomb():
    """A member that inflates out of all proportion is not followed."""
    data = zipped(("archive/data.pkl", b"\x80\x02}" + b"q\0" * (20 << 20)), compression=zipfile.ZIP_DEFLATED)
    found = scanned(data)
    assert (found.verdict, found.evidence[0].code) == ("unreadable", "limit")


@pytest.mark.parametrize("data", [
    torch_zip(members={"data/0": EVIL}),
    torch_legacy(data=EVIL.ljust(400, b"\0"), numel=100, pickle=BENIGN),
    safetensors(b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(EVIL), len(EVIL)), EVIL),
], ids=["zip", "legacy", "safetensors"])  # fmt: skip
def test_tensor_bytes_only_when_deep(data):
    """Bytes of tensors are looked into when that is asked for, and not before."""
    assert scanned(data).verdict in ("clean", "unreadable")
    found = scanned(data, deep=True)
    assert found.verdict == "dangerous"
    assert CALL in [each.call for each in found.evidence]


@pytest.mark.parametrize(("code", "verdict"), [
    (b"def forward(self):\n  torch.save(self, 'x')\n", "dangerous"),
    (b"def forward(self):\n  return ops.mylib.run(self)\n", "unknown"),
    (b"def forward(self):\n  return ops.prim.data(torch.add(self, self))\n", "clean"),
])  # fmt: skip
def test_programs(code, verdict):
    """A TorchScript program is told by the operators that reach outside of tensors."""
    data = torch_zip(members={"constants.pkl": pickled(b")"), "data/0": FOUR_FLOATS, "code/__torch__.py": code})
    assert scanned(data).verdict == verdict


def test_too_many_places():
    """A pickle that is made to look like a million pickles ends the search, and is not called clean."""
    data = pickled(b"".join(short_bytes(b"\x80\x02" * 120) + b"0" for _ in range(2000)) + b"N")
    found = scanned(data)
    assert (found.verdict, found.evidence[0].code) == ("unreadable", "limit")


def test_bytes_that_torch_loads():
    """Bytes handed to torch.load are clean when they are, and unknown when nothing can be said of them."""
    loader = named("torch.storage", "_load_from_bytes")
    assert scanned(pickled(call(loader, short_bytes(pickled(b"N"))))).verdict == "clean"
    assert scanned(pickled(call(loader, b"K\1"))).verdict == "unknown"


def test_advisories():
    """The evidence names the published advisory of what is misused."""
    (each,) = scanned(pickled(call(named("torch.utils.collect_env", "run"), text("id")))).evidence
    assert each.advisory == "GHSA-f745-w6jp-hpxx"


def test_worst():
    """Of several verdicts the worst counts, and no evidence is clean."""
    assert worst(["clean", "unknown"]) == "unknown"
    assert worst(["unreadable", "unknown"]) == "unreadable"
    assert worst(["dangerous", "unreadable"]) == "dangerous"
    assert worst([]) == "clean"
    assert EXIT_CODES == {"clean": 0, "unknown": 1, "unreadable": 2, "dangerous": 3}


def test_nothing_heavy_is_imported():
    """Scanning imports neither torch nor numpy, and nothing that unpickles."""
    code = (
        "import sys; from weightlift.scans import scan_source; from weightlift.sources import Memory\n"
        "scan_source(Memory(bytes.fromhex(sys.argv[1])))\n"
        "print(*sorted({n.partition('.')[0] for n in sys.modules} & {'torch', 'numpy', 'pickle', 'ml_dtypes'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code, torch_zip().hex()], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
