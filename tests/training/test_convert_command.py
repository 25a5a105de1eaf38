"""`weightlift convert BUNDLE DIR`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import torch

from weightlift.faces.cli import main

from pickled_bundles import Net, new_run, train


def bundle(tmp_path, **more):
    model, optimizer, _ = train(new_run())
    path = tmp_path / "old.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 3, **more}, path)
    return str(path)


def test_it_lists_the_parts_and_what_to_call_next(tmp_path, capsys):
    """Names, kinds, tensors, bytes and origin of every part."""
    assert main(["convert", bundle(tmp_path), str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert lines[1][:4] == ["model", "module", "8", "tensors"]
    assert lines[2][:4] == ["optimizer", "optimizer", "15", "tensors"]
    assert out.splitlines()[-1] == f"next: wl.resume({str(tmp_path / 'new')!r}, model=model, optimizer=optimizer)"


def test_json_says_the_same(tmp_path, capsys):
    """One document."""
    assert main(["convert", bundle(tmp_path), str(tmp_path / "new"), "--json", "--hash", "sha256"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [part["name"] for part in told["parts"]] == ["model", "optimizer", "step"]
    assert (told["kind"], told["maker"], told["step"], told["left"]) == ("converted", "plain", 3, [])
    assert json.loads((tmp_path / "new/MANIFEST.json").read_text())["hash"] == "sha256"


def test_what_is_left_behind_makes_it_1(tmp_path, capsys):
    """The program of a scripted module is nothing that a checkpoint holds."""
    torch.jit.script(Net()).save(str(tmp_path / "old.pt"))
    assert main(["convert", str(tmp_path / "old.pt"), str(tmp_path / "new")]) == 1
    assert "not carried over: the program of the scripted module" in capsys.readouterr().err


def test_names_come_from_a_file(tmp_path, capsys):
    """One a line, in the order of the saved groups; without them the error says so, and it is 2."""
    model = Net()
    optimizer = torch.optim.Adam([model.last.weight, model.norm.bias], lr=0.1)
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "old.pt")
    words = ["convert", str(tmp_path / "old.pt"), str(tmp_path / "new")]
    assert main(words) == 2
    assert "--names FILE" in capsys.readouterr().err
    (tmp_path / "names").write_text("last.weight\nnorm.bias\n")
    assert main([*words, "--names", str(tmp_path / "names")]) == 0
    assert main([*words, "--names", f"optimizer={tmp_path / 'names'}"]) == 0
    assert main([*words, "--names", f"ema={tmp_path / 'names'}"]) == 2
    assert "names for 'ema'" in capsys.readouterr().err
    assert main([*words, "--without", "optimizer"]) == 0


def test_torch_is_not_needed(tmp_path):
    """A bundle converts where torch cannot be imported."""
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from weightlift.faces.cli import main\n"
        f"sys.exit(main(['convert', {bundle(tmp_path)!r}, {str(tmp_path / 'new')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
