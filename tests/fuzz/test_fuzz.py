"""A short, repeatable part of the fuzzing, and whether the tools for it find what is there to be found."""

from __future__ import annotations

import json
import os
import pickletools
import random
import subprocess
import sys

import pytest

from weightlift.errors import MalformedError

from . import seeds
from .counters import NBYTES, Counters
from .kinds import KINDS
from .mutators.pickle_opcodes import COUNTED, FIXED, LINES, assembled, ops_of
from .mutators.step_directories import packed, rehashed, unpacked
from .targets import BadMessageError, tried

CASES = {"step": 25, "zip": 150}
SLOWER = 300  # of every other kind


@pytest.fixture(scope="module")
def files():
    """Kind -> seeds."""
    return seeds.every()


@pytest.mark.parametrize("name", KINDS)
def test_changed_files_end_in_a_value_or_one_of_our_errors(name, files, tmp_path):
    """Files of every kind, changed within their structure, are read or refused by name; nothing else comes out."""
    kind = KINDS[name]
    target = kind.target(str(tmp_path))
    others = tuple(found[0] for data in files["pickle"] if (found := ops_of(data)))
    for data in files[name]:
        target(data)
    for case in range(CASES.get(name, SLOWER)):
        rng = random.Random(case)
        data = rng.choice(files[name])
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = kind.change(data, rng, others)
        target(data)


@pytest.mark.parametrize("name", KINDS)
def test_mutators_change_and_repeat(name, files):
    """A mutator gives the same for the same seed, and mostly something else than it got."""
    kind = KINDS[name]
    changed = [kind.change(files[name][0], random.Random(case), ()) for case in range(40)]
    assert changed == [kind.change(files[name][0], random.Random(case), ()) for case in range(40)]
    assert sum(data != files[name][0] for data in changed) > 25


def test_every_opcode_is_in_the_table():
    """The mutator's own table of opcodes has each opcode once, with the form of argument that it has."""
    sizes = {"uint1": 1, "uint2": 2, "uint4": 4, "int4": 4, "uint8": 8, "float8": 8, None: 0}
    for op in pickletools.opcodes:
        code, form = ord(op.code), op.arg and op.arg.name
        table = [each for each in (FIXED, COUNTED, LINES) if code in each]
        assert len(table) == 1, op.name
        if form in sizes:
            assert FIXED[code] == sizes[form], op.name
        elif form.endswith(("1", "4", "8")):
            assert COUNTED[code] == int(form[-1]), op.name
        else:
            assert LINES[code] == (2 if "pair" in form else 1), op.name


def test_opcodes_go_back_together(files):
    """Taken apart and put together, a pickle is what it was."""
    for data in files["pickle"] + files["torch_pickle"]:
        ops, rest = ops_of(data)
        assert assembled(ops, rest) == data


def test_directories_go_back_together(files):
    """A directory packed into bytes comes out as it was, and hashes that are right stay as they are."""
    for data in files["step"]:
        directory = unpacked(data)
        assert packed(directory) == data
        assert rehashed(directory, files_too=True) == directory


def test_messages_are_held_against_what_a_terminal_stands():
    """An error that shows a control character is a finding; a plain one is not."""

    class _RawError(MalformedError):
        def __str__(self):
            return "\x1b[2J"

    def refuse(error):
        raise error

    assert tried(lambda: refuse(MalformedError("plain"))) is None
    with pytest.raises(BadMessageError):
        tried(lambda: refuse(_RawError("cleared")))


def test_counts_outlive_a_process():
    """What one process counted, another reads from the same bytes."""
    memory = bytearray(NBYTES)
    counters = Counters(memory)
    counters.begin(b"first")
    counters.begin(b"second")
    counters.found("hang")
    counters.took(0.5)
    again = Counters(memory)
    assert (again.executions, again.last, again.slowest_us) == (2, b"second", 500_000)
    assert again.findings == {"unnamed": 0, "hang": 1, "memory": 0, "marker": 0}


_PLANTED = """
import sys
from fuzz import slice as fuzz_slice
from fuzz.kinds import KINDS, Kind
def target(folder):
    def run(data):
        what = data[0] % 5
        if what == 0: raise KeyError("planted")
        if what == 1:
            while True: pass
        if what == 2: bytearray(300 << 20)
        if what == 3: open("/dev/null", "w").close()
    return run
KINDS["manifest"] = Kind("manifest", None, target)
fuzz_slice._HANG = 1.0
turn = fuzz_slice.Turn(KINDS["manifest"], sys.argv[1], fuzz_slice.Counters(bytearray(1 << 16)))
for byte in range(5): turn.run(bytes([byte]))
print(turn.counters.executions, turn.counters.findings)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures a process as Linux tells of it")
def test_planted_faults_are_found(tmp_path):
    """A foreign exception, an endless loop, much memory and a file written are each recorded, with the input."""
    os.mkdir(tmp_path / "findings")
    small = ["sh", "-c", '"$@"; exit $?', "sh"]  # a child's peak of memory begins with that of its parent
    ran = subprocess.run(
        [*small, sys.executable, "-c", _PLANTED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ran.stdout.strip() == "5 {'unnamed': 1, 'hang': 1, 'memory': 1, 'marker': 1}"
    kept = {name.partition("-")[0]: (tmp_path / "findings" / name).read_bytes() for name in os.listdir(tmp_path / "findings")
            if not name.endswith(".txt")}  # fmt: skip
    assert kept == {"unnamed": b"\0", "hang": b"\1", "memory": b"\2", "marker": b"\3"}


@pytest.mark.skipif(sys.platform != "linux", reason="measures a process as Linux tells of it")
def test_runs_go_on_where_they_were_left_off(files, tmp_path):
    """A second run adds to the executions of the first, and both end well on a kind that holds."""
    for name in ("npy", "pickle", "torch_pickle"):
        os.makedirs(tmp_path / "seeds" / name)
        (tmp_path / "seeds" / name / "seed000").write_bytes(files[name][0])
    counts = []
    for _ in range(2):
        words = ["--folder", str(tmp_path), "--seconds", "1", "--turn", "1", "--kinds", "npy", "--engine", "outcomes"]
        subprocess.run(
            [sys.executable, "-m", "fuzz.run", *words], capture_output=True, check=True, timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        counts.append(json.loads((tmp_path / "totals.json").read_text())["executions"])
    assert 0 < counts[0] < counts[1]
