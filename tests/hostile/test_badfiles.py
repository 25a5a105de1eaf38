"""Every attack ends in a named error or the right answer, in little memory and time, and nothing of it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from threading import Timer

import pytest

from weightlift.scans.values import EXIT_CODES

import bad_bombs
import bad_code
import bad_containers
import bad_names
import bad_places
import bad_safetensors
import bad_structures
import hostile_worker
from bad_files import MARKER, Attack, write

ATTACKS = [
    attack
    for room in (bad_code, bad_places, bad_containers, bad_structures, bad_bombs, bad_names, bad_safetensors)
    for attack in room.TABLE.attacks
]
_HANGS_SECONDS = 60


class Worker:
    """A process that reads hostile files; one that dies of a file is replaced for the next."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, path: str, verb: str, out: str) -> dict:
        """Return how one verb ends on a file."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, hostile_worker.__file__],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
            assert self.process.stdout.readline().strip() == hostile_worker.READY
        process = self.process
        process.stdin.write(json.dumps([path, verb, out]) + "\n")
        process.stdin.flush()
        watch = Timer(_HANGS_SECONDS, process.kill)
        watch.start()
        line = process.stdout.readline()
        watch.cancel()
        if not line:
            self.process = None
            return {"unnamed": f"the process died: {process.wait()}"}
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate()


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    yield made
    made.close()


def fits(found: dict, expected: tuple[str, str]) -> bool:
    return found.get("error") == expected[0] and expected[1] in found["said"]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: Attack, tmp_path, worker):
    """Opening, inspecting, extracting and scanning a hostile file end as they should, and no code of it runs."""
    path = write(attack, str(tmp_path))
    out = str(tmp_path / "out.safetensors")
    found = {verb: worker.ask(path, verb, out) for verb in ("open", "inspect --json", "extract")}
    said = worker.ask(path, "scan --json", out)
    assert said.get("code") == EXIT_CODES[attack.verdict], said
    assert not os.path.exists(MARKER)
    assert not os.path.exists(out)
    if attack.error:
        for verb in ("open", "extract"):
            assert fits(found[verb], attack.error), found[verb]
        refused = attack.error
    elif attack.late:
        assert "weights" in found["open"], found["open"]
        assert fits(found["extract"], attack.late), found["extract"]
        refused = attack.late
    elif attack.writing:
        assert "weights" in found["open"], found["open"]
        assert fits(found["extract"], attack.writing), found["extract"]
        assert found["inspect --json"].get("code") == 0
        return
    else:
        found["inspect"] = worker.ask(path, "inspect", out)
        check_content(attack, found, worker.ask(path, "values", out) if attack.weights else {})
        return
    said = found["inspect --json"]
    assert said.get("code") == 2, said
    assert f'"error": "{refused[0]}"' in said["said"], said


def check_content(attack: Attack, found: dict, values: dict) -> None:
    """Hold what was found against what is there."""
    names = list(attack.weights or {})
    assert found["inspect"].get("code") == attack.code, found["inspect"]
    assert found["inspect --json"].get("code") == attack.code
    if names:
        assert list(found["open"]["weights"].values()) == [names]
        assert values["values"] == {key: data.hex() for key, data in attack.weights.items()}
    if attack.extract:
        assert fits(found["extract"], attack.extract), found["extract"]
    else:
        assert sorted(found["extract"]["names"]) == sorted(names), found["extract"]


def test_every_attack_has_its_own_name():
    """No two attacks are called the same, so that a failure says which it is."""
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
