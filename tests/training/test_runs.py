"""`weightlift runs`: what a person sees of a directory of checkpoints."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from weightlift.errors import StoreError
from weightlift.faces.cli import main
from weightlift.training.store import CheckpointStore

from stored_runs import Run, damaged, names


@pytest.fixture
def place(tmp_path, stored_runs):
    """A directory with four checkpoints, the second with the lowest loss, the first without one, the third pinned."""
    with CheckpointStore(tmp_path) as store:
        for step, loss in ((100, None), (200, 0.25), (300, math.nan), (400, 0.5)):
            store.save(Run(model="w"), step=step, metrics={} if loss is None else {"loss": loss})
        store.pin(300)
    return tmp_path


def test_a_table(place, capsys):
    """One line a checkpoint with its size, metrics, time, why it stays, and the newest last."""
    assert main(["runs", str(place)]) == 0
    title, _, head, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith(f"{place}  4 checkpoints, ")
    assert head.split() == ["step", "size", "metrics", "written", "(UTC)", "kept"]
    assert [row.split()[0] for row in rows] == ["100", "200", "300", "400"]
    assert "loss 0.25" in rows[1]
    assert rows[2].endswith("all; pinned")
    assert rows[3].endswith("newest; all")


def test_why_each_stays(place, capsys):
    """With a rule, the table says what it keeps and why, and what it does not."""
    assert main(["runs", str(place), "--keep", "1", "--best", "loss:min", "--every", "150"]) == 0
    rows = capsys.readouterr().out.splitlines()[3:]
    assert [row.rsplit("  ", 1)[1].strip() for row in rows] == ["not kept", "best", "every 150; pinned", "newest"]
    assert len(names(place)) == 4


def test_pruning(place, capsys):
    """--dry-run says what would go, without it that is gone, and the rest is listed."""
    rule = ["--prune", "--keep", "1", "--best", "loss:min"]
    assert main(["runs", str(place), *rule, "--dry-run"]) == 0
    assert "would be removed: 1 checkpoint, " in capsys.readouterr().out
    assert len(names(place)) == 4
    assert main(["runs", str(place), *rule]) == 0
    assert "steps 100" in capsys.readouterr().out
    assert names(place) == ["step-000200", "step-000300", "step-000400"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prune"], "say how many of the newest stay: --keep 3"),
        (["--prune", "--best", "loss:min"], "say how many of the newest stay: --keep 3"),
        (["--dry-run"], "expected --prune --dry-run"),
        (["--keep", "0"], "the newest checkpoint always stays"),
        (["--best", "loss"], "'METRIC:min' or 'METRIC:max'"),
        (["--pin", "7"], "no step 7"),
    ],
)
def test_what_means_nothing_is_refused(place, capsys, options, message):
    """A rule that is missing or wrong is an error, exit 2, and nothing is removed."""
    assert main(["runs", str(place), *options]) == 2
    assert message in capsys.readouterr().err
    assert len(names(place)) == 4


def test_verifying(place, capsys):
    """--verify reads every byte: exit 0 when all is whole, 1 and the reason when something is broken."""
    assert main(["runs", str(place), "--verify"]) == 0
    assert "all verified" in capsys.readouterr().out
    damaged["a flipped bit in the data"](place / "step-000200")
    assert main(["runs", str(place)]) == 0
    capsys.readouterr()
    assert main(["runs", str(place), "--verify"]) == 1
    printed = capsys.readouterr().out
    assert "1 broken" in printed
    assert "step 200: " in printed
    assert names(place) == ["step-000100", "step-000200", "step-000300", "step-000400"]


def test_a_broken_manifest_shows_without_verifying(place, capsys):
    """What the manifests show is told, exit 1, without reading the data."""
    damaged["no manifest"](place / "step-000400")
    assert main(["runs", str(place)]) == 1
    assert "step 400: MANIFEST.json: is missing" in capsys.readouterr().out


def test_pins(place, capsys):
    """--pin and --unpin change what the rule may remove."""
    assert main(["runs", str(place), "--pin", "100", "--unpin", "300", "--prune", "--keep", "1"]) == 0
    assert names(place) == ["step-000100", "step-000400"]


def test_json(place, capsys):
    """--json is one strict document with everything, a NaN as a text."""
    (place / "step-000007").write_text("theirs")
    assert main(["runs", str(place), "--json", "--verify", "--prune", "--dry-run", "--keep", "1"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (document["schema"], document["kind"], document["verified"], document["dry_run"]) == (1, "runs", True, True)
    assert [stored["step"] for stored in document["steps"]] == [100, 200, 300, 400]
    assert document["steps"][2]["metrics"] == {"loss": "nan"}
    assert [stored["step"] for stored in document["removed"]] == [100, 200]
    assert document["strangers"] == {"step-000007": "no directory"}


def test_no_directory(tmp_path, capsys):
    """A directory that is not there is an error; one without checkpoints says so."""
    assert main(["runs", str(tmp_path / "missing")]) == 2
    assert "no such directory" in capsys.readouterr().err
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}  no checkpoint\n"
    assert list(tmp_path.iterdir()) == []


def test_a_hostile_name_is_escaped(tmp_path, capsys):
    """Control characters in names do not reach the terminal."""
    (tmp_path / "step-\x1b[31m").write_text("")
    assert main(["runs", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_another_writer(place, capsys):
    """Pruning while a training process saves there is refused; listing is not."""
    holding = "import sys; from weightlift.training.lock import DirectoryLock as L; l = L(sys.argv[1]); l.take();"
    code = f"{holding} print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        assert main(["runs", str(place), "--prune", "--keep", "1"]) == 2
        assert f"process {holder.pid} on " in capsys.readouterr().err
        assert main(["runs", str(place), "--verify"]) == 0
        holder.kill()
    assert len(names(place)) == 4


def test_nothing_heavy_is_imported(place):
    """runs needs neither torch nor numpy, with or without --verify."""
    code = (
        "import sys; from weightlift.faces.cli import main; code = main(['runs', sys.argv[1], '--verify']);"
        "print(sorted({'torch', 'numpy', 'pickle'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_pruning_needs_a_rule_in_python_too(place):
    """The action refuses to prune without a rule."""
    from weightlift.actions.runs import runs

    with pytest.raises(StoreError, match="pruning without a rule"):
        runs(place, prune=True)
