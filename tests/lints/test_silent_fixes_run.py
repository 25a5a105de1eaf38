"""Programs before and after the fixes that need no asking, run under torch."""

from __future__ import annotations

import pytest

from weightlift.lints.check import check_file
from weightlift.lints.fixing import choose, edits_by_path, rewritten
from weightlift.lints.rule import rule
from weightlift.lints.source_file import SourceFile

torch = pytest.importorskip("torch")

UNPREFIXED = """
import torch
path, = made["paths"]
state_dict = torch.load(path)
made["keys"] = sorted({k[len("module."):]: v for k, v in state_dict.items()})
"""
SLICED = """
import pickle
import torch
x = torch.arange(10000.0).reshape(100, 100)
part = x[5:7]
torch.save(part, made["paths"][0])
torch.save({"row": x[:, 3]}, made["paths"][1])
made["bytes"] = pickle.dumps(x[:2])
"""


def ran(code, text, paths, *, after):
    """Return what a program leaves behind, as it is or after the safe fixes of a rule."""
    data = text.encode()
    if after:
        chosen = choose(check_file(SourceFile("a.py", data), [rule(code)]), unsafe=False)
        assert chosen
        data = rewritten(data, edits_by_path(chosen)["a.py"])
    made = {"paths": paths}
    exec(compile(data, "a.py", "exec"), {"made": made})
    return made


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_removeprefix_gives_the_same_or_keeps_the_key(tmp_path, prefix):
    """Keys with the prefix come out as before; keys without it, which the slice cut to pieces, stay whole."""
    path = tmp_path / "a.pt"
    torch.save({f"{prefix}conv.weight": torch.ones(1), f"{prefix}head.bias": torch.ones(1)}, path)
    before = ran("WL402", UNPREFIXED, [path], after=False)["keys"]
    after = ran("WL402", UNPREFIXED, [path], after=True)["keys"]
    assert after == ["conv.weight", "head.bias"]
    assert before == (after if prefix else ["as", "ight"])


def test_a_clone_saves_the_same_values_in_less(tmp_path):
    """What is loaded is equal before and after, and the whole tensor is in the file only before."""
    paths = [tmp_path / "slice.pt", tmp_path / "row.pt"]
    for after, storages in ((False, [10000, 10000]), (True, [200, 100])):
        made = ran("WL408", SLICED, paths, after=after)
        part, row = torch.load(paths[0]), torch.load(paths[1])["row"]
        assert torch.equal(part, torch.arange(500.0, 700.0).reshape(2, 100))
        assert torch.equal(row, torch.arange(3.0, 10000.0, 100.0))
        assert [each.untyped_storage().nbytes() // 4 for each in (part, row)] == storages
        assert (len(made["bytes"]) > 40000) is not after
