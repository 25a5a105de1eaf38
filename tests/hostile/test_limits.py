"""Each budget is one field of `Limits`: it refuses what it should, and gives way when it is raised."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import weightlift as wl
from weightlift.errors import LimitError
from weightlift.faces.cli import main
from weightlift.limits import BUDGETS, DEFAULT_LIMITS, NEVER, Limits

from bad_files import Entry, deflate, torch_members, zip_of
from builders import call, dict_of, named, pickled, storage, tensor, torch_zip

LARGE = torch_zip(pickled(dict_of(("w", tensor((1 << 20,), (0,))))))
THREE = torch_zip(pickled(dict_of(("a", tensor()), ("b", tensor((2,))), ("c", b"](K\1K\2e"))))


@pytest.mark.parametrize(
    "budgets",
    [{"opcodes": 3}, {"text_bytes": 5}, {"depth": 0}, {"nodes": 1}, {"members": 2}, {"tensors": 1}, {"header_bytes": 9},
     {"memory_bytes": -(1 << 40)}, {"seconds": -1.0}],
    ids=lambda budgets: next(iter(budgets)),
)  # fmt: skip
def test_each_budget_refuses(write, budgets):
    """A file that needs more than one budget allows is refused; by the defaults it is read."""
    path = write(THREE)
    wl.open(path).state_dicts  # noqa: B018
    with pytest.raises(LimitError):
        wl.open(path, limits=Limits(**budgets)).state_dicts  # noqa: B018


def test_expansion_is_refused_and_can_be_asked_for(write, tmp_path):
    """A view of 16 bytes that takes 4 MiB is read, written and counted only as far as the limit says."""
    path = write(LARGE)
    small = Limits(materialised_bytes=1 << 20)
    found = wl.open(path, limits=small).state_dict()
    for ask in (found["w"].numpy, found["w"].tobytes, found.to_numpy):
        with pytest.raises(LimitError, match="4194304 bytes would be made of the 16 that are there"):
            ask()
    with pytest.raises(LimitError, match=r"raise Limits\.materialised_bytes"):
        wl.extract(path, tmp_path / "w", limits=small)
    assert wl.extract(path, tmp_path / "w").written.nbytes == 4 << 20
    assert np.array_equal(wl.open(path).state_dict()["w"].numpy(), np.ones(1 << 20, np.float32))


def test_what_the_file_holds_is_never_limited(write, tmp_path):
    """A tensor that lies in the file as it is can be larger than the limit on expansion."""
    numel = 1 << 12
    made = pickled(dict_of(("w", tensor((numel,), (1,), where=storage(numel=numel)))))
    path = write(torch_zip(made, {"data/0": bytes(4 * numel)}))
    limits = Limits(materialised_bytes=64)
    assert wl.extract(path, tmp_path / "w", limits=limits).written.nbytes == 4 * numel
    assert wl.open(path, limits=limits).state_dict()["w"].numpy().shape == (numel,)


def test_torch_reads_no_storage_that_inflates_too_far(write):
    """A compressed storage is held against the bytes that it takes in the file, for torch as for numpy."""
    pytest.importorskip("torch")
    numel = 1 << 16
    made = pickled(dict_of(("w", tensor((numel,), (1,), where=storage(numel=numel)))))
    bomb = Entry("archive/data/0", deflated=deflate([(bytes(4 * numel), 1)]), nbytes=4 * numel, crc=1)
    path = write(zip_of([*torch_members(made, None), bomb]))
    found = wl.open(path, limits=Limits(materialised_bytes=1024)).state_dict()
    with pytest.raises(LimitError, match=r"raise Limits\.materialised_bytes"):
        found.to_torch()


def test_a_copied_list_is_paid_for_each_time(write):
    """A million calls that each copy one long list are refused before they fill the memory."""
    copies = b"](" + b"N" * 60_000 + b"eq\0" + named("builtins", "list") + b"q\1" + b"h\1h\0\x85R" * 20_000
    with pytest.raises(LimitError, match=r"raise Limits\.memory_bytes"):
        wl.open(write(torch_zip(b"\x80\x02(" + copies + b"l.")))


def test_a_state_set_again_and_again(write):
    """An object that is given a large state a thousand times is refused before it takes minutes."""
    state = b"}(" + b"".join(b"M" + bytes(divmod(i, 256))[::-1] + b"N" for i in range(20_000)) + b"uq\0"
    again = named("x", "Y") + b")\x81" + b"h\0b" * 20_000
    with pytest.raises(LimitError, match=r"raise Limits\.memory_bytes"):
        wl.open(write(torch_zip(b"\x80\x02" + state + b"0" + again + b".")))


def test_the_clock_stops_when_the_file_is_open(write):
    """Time counts while a file is made out, not while a caller works with it."""
    made = wl.open(write(THREE), limits=Limits(seconds=30.0))
    assert made.limits.until == NEVER
    assert Limits().running().until < NEVER


@pytest.mark.parametrize("verb", ["inspect", "extract", "convert", "plan", "apply"])
def test_every_verb_takes_limits(write, tmp_path, capsys, verb):
    """A budget on the command line holds for every verb that reads a checkpoint."""
    path = str(write(THREE))
    more = {"inspect": [], "plan": [path], "apply": ["p", str(tmp_path / "o")]}.get(verb, [str(tmp_path / "o")])
    (tmp_path / "p").write_text('plan = 1\n[[block]]\nrules = """\n** -> **\n"""\n')
    more = [str(tmp_path / "p") if word == "p" else word for word in more]
    assert main([verb, path, *more, "--limit", "opcodes=3", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "LimitError"


@pytest.mark.parametrize("text", ["opcode=3", "opcodes", "until=3", "=", "opcodes=many", "seconds=soon", "nodes=-1"])
def test_a_wrong_limit_is_explained(write, capsys, text):
    """An unknown budget is answered with all there are, and a value that is none with what one looks like."""
    assert main(["inspect", str(write(THREE)), "--limit", text]) == 2
    said = capsys.readouterr().err
    assert "materialised_bytes=134217728" in said or "expected seconds" in said or "2GiB" in said


def test_sizes_are_understood(write, capsys):
    """Budgets can be given as sizes, several at once, and the last of one name counts."""
    path = str(write(THREE))
    assert main(["inspect", path, "--limit", "opcodes=3", "--limit", "opcodes=2GiB", "--limit", "seconds=9.5"]) == 0


def test_a_blob_costs_by_itself(write):
    """A hundred thousand calls that open one small blob are refused, and do not open it a hundred thousand times."""
    body = named("torch.storage", "_load_from_bytes") + b"q\1" + b"C\1xq\2" + b"h\1h\2\x85R0" * 100_000
    with pytest.raises(LimitError, match=r"raise Limits\.memory_bytes"):
        wl.open(write(torch_zip(b"\x80\x04" + body + call(named("a", "b")) + b".")))


def test_the_page_lists_every_budget():
    """docs/security.md names each budget with its default, and no other."""
    page = (Path(__file__).parents[2] / "docs/security.md").read_text("utf-8")
    section = page.partition("### Budgets")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+)( MiB)? \| ", section, re.MULTILINE)
    told = {name: int(number.replace(",", "")) << (20 if unit else 0) for name, number, unit in rows}
    assert told == {name: getattr(DEFAULT_LIMITS, name) for name in BUDGETS}


def test_more_opcodes_than_a_small_file_may_take_can_be_asked_for(write):
    """All pickles of a file share one budget, which its size decides, until a caller asks for more than the default."""
    packed = deflate([(b"\x80\x02(", 1), (b"N0" * 700_000, 1), (b"l.", 1)])
    path = write(zip_of([Entry(f"m{i}.pkl", deflated=packed, nbytes=1_400_005, crc=0) for i in range(4)]), "x.zip")
    with pytest.raises(LimitError, match=r"what is left for a file of this size; raise Limits\.opcodes"):
        wl.open(path)
    assert len(wl.open(path, limits=Limits(opcodes=60_000_000)).tree) == 4


def test_names_are_counted_once_in_a_file(write):
    """A hundred pickles that import the same names take no more of the budget for them than one does."""
    made = b"\x80\x02" + b"".join(b"cm%d\nf\n0" % number for number in range(200)) + b"N."
    path = write(zip_of([Entry(f"m{i}.pkl", made) for i in range(100)]), "x.zip")
    assert len(wl.open(path).globals) == 200
    with pytest.raises(LimitError, match=r"raise Limits\.globals"):
        wl.open(path, limits=Limits(globals=199))


def test_a_long_pickle_of_text_is_recognised(write):
    """A pickle of protocol 0 is one however long it is, and a text that begins like one is none."""
    assert wl.open(write(b"I0\n0" * 30_000 + b"N.", "x.pkl")).format == "pickle"
    with pytest.raises(wl.errors.UnknownFormatError):
        wl.open(write(b"I am a text " * 1_000, "x.pkl"))
