"""The command line as a person meets it."""

from __future__ import annotations

import json

import pytest

import weightlift
from weightlift.faces.cli import main
from weightlift.faces.text import human_bytes, short_dtype

from builders import dict_of, integer, named, pickled, tensor, torch_zip


@pytest.fixture
def bundle(write):
    """A training bundle: 12 layers, an epoch, an optimizer."""
    layers = dict_of(*((f"layers.{i}.weight", tensor()) for i in range(12)))
    optimizer = dict_of(("state", b"}"), ("param_groups", b"]"))
    return write(
        torch_zip(pickled(dict_of(("state_dict", layers), ("epoch", integer(7)), ("optimizer", optimizer)))),
        "last.ckpt",
    )


def test_inspect_compresses_blocks(bundle, capsys):
    """Twelve equal layers are one row; the rest of the bundle and the verdict follow."""
    assert main(["inspect", str(bundle)]) == 0
    printed = capsys.readouterr().out
    assert "layers.{0..11}.weight  4  f32  x12" in printed
    assert "epoch" in printed
    assert "safety: clean" in printed


def test_inspect_all_lists_every_tensor(bundle, capsys):
    """--all gives every tensor a line."""
    assert main(["inspect", str(bundle), "--all"]) == 0
    assert capsys.readouterr().out.count(".weight") >= 12


def test_inspect_json_is_complete(bundle, capsys):
    """--json lists every tensor with its key, dtype, shape and bytes."""
    assert main(["inspect", str(bundle), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (state_dict,) = document["state_dicts"]
    assert document["schema"] == 1
    assert document["chosen"] == "state_dict"
    assert [entry["key"] for entry in state_dict["entries"]] == [f"layers.{i}.weight" for i in range(12)]
    assert state_dict["entries"][0] == {
        "key": "layers.0.weight", "dtype": "float32", "shape": [4], "nbytes": 16, "role": "tensor",
        "layout": "strided", "tied_to": "", "absent": "",
    }  # fmt: skip
    assert document["safety"] == {"verdict": "clean", "unknown": [], "dangerous": []}


def test_piped_output_is_plain(bundle, capsys):
    """Without a terminal there are no escape sequences and no progress."""
    assert main(["extract", str(bundle), str(bundle.parent / "w.safetensors")]) == 0
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    assert "12 entries of 'state_dict'" in told.out


def test_several_models_need_a_name(write, tmp_path, capsys):
    """extract lists the candidates with sizes and takes --name."""
    path = write(
        torch_zip(pickled(dict_of(("G", dict_of(("w", tensor()))), ("D", dict_of(("v", tensor(shape=(2,))))))))
    )
    out = str(tmp_path / "w.safetensors")
    assert main(["extract", str(path), out]) == 2
    assert "'G' (1 entries, 16 bytes); 'D' (1 entries, 8 bytes)" in capsys.readouterr().err
    assert main(["extract", str(path), out, "--name", "D"]) == 0
    assert list(weightlift.open(out).state_dict()) == ["v"]


def test_module_notes_are_shown(write, capsys):
    """What class code could change is told beside the weights."""
    state = dict_of(("_parameters", dict_of(("w", tensor()))), ("_buffers", b"}"), ("_modules", b"}"))
    path = write(torch_zip(pickled(named("gone.models", "Net") + b")\x81" + state + b"b")))
    assert main(["inspect", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "module gone.models.Net" in printed
    assert "could override state_dict(): gone.models.Net" in printed
    assert "safety: unknown" in printed


def test_wrong_usage_exits_with_2(capsys):
    """An unknown verb is told by the usage line."""
    with pytest.raises(SystemExit) as stopped:
        main(["lift"])
    assert stopped.value.code == 2
    assert "usage: weightlift" in capsys.readouterr().err


def test_version(capsys):
    """--version prints the version."""
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"weightlift {weightlift.__version__}\n"


def test_units():
    """Sizes and dtypes are spelled as people write them."""
    assert [human_bytes(n) for n in (0, 999, 1500, 4_060_000)] == ["0 bytes", "999 bytes", "1.5 kB", "4.06 MB"]
    assert [short_dtype(n) for n in ("bfloat16", "float8_e4m3fn", "int64", "quint8", "bool")] == [
        "bf16", "f8_e4m3fn", "i64", "qu8", "bool",
    ]  # fmt: skip


def test_select_and_drop(bundle, tmp_path, capsys):
    """Patterns choose keys; one that fits nothing is an error, not an empty result."""
    out = str(tmp_path / "w.safetensors")
    assert main(["extract", str(bundle), out, "--select", "layers.1.**", "--select", "layers.2.*"]) == 0
    assert list(weightlift.open(out).state_dict()) == ["layers.1.weight", "layers.2.weight"]
    assert main(["extract", str(bundle), out, "--drop", "layers.1*.weight"]) == 0
    assert len(weightlift.open(out).state_dict()) == 9
    capsys.readouterr()
    assert main(["extract", str(bundle), out, "--drop", "layer.**"]) == 2
    assert "pattern 'layer.**' fits no name" in capsys.readouterr().err
