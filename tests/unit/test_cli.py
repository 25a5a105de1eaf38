"""The command line as a person meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

import weightlift
from weightlift.faces.cli import main
from weightlift.faces.text import human_bytes, short_dtype

from builders import FOUR_FLOATS, dict_of, integer, named, pickled, storage, tensor, torch_zip


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
    assert "'G' (1 entry, 16 bytes); 'D' (1 entry, 8 bytes)" in capsys.readouterr().err
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


def test_output_that_cannot_be_written_is_an_error(bundle):
    """A full disk behind standard output is said in one line, exit 2."""
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "weightlift", "inspect", str(bundle)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2, "weightlift: the output cannot be written: No space left on device\n",
    )  # fmt: skip


def test_a_closed_output_is_no_traceback(bundle):
    """Without a standard output the command still ends with its own exit code."""
    command = f"exec {sys.executable} -m weightlift inspect {bundle} >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_ended_leaves_nothing(write, tmp_path, number):
    """Killed in the middle of the bytes, extract leaves no part of a file and ends with 130."""
    path = write(torch_zip())
    out = tmp_path / "out"
    out.mkdir()
    program = f"""
import os, signal, sys
from weightlift.faces.cli import main
from weightlift.writers import safetensors
safetensors.append_tensor = lambda fd, tensor: os.kill(os.getpid(), {int(number)})
sys.exit(main(["extract", {str(path)!r}, {str(out / "w")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted; nothing was left behind\n")
    assert list(out.iterdir()) == []


def test_extract_into_shards(write, tmp_path, capsys):
    """A size cuts the output into files with an index; what is no size is wrong usage."""
    both = dict_of(("a", tensor()), ("b", tensor(where=storage("1"))))
    bundle = write(torch_zip(pickled(both), {"data/0": FOUR_FLOATS, "data/1": bytes(range(16))}))
    out = str(tmp_path / "w.safetensors")
    assert main(["extract", str(bundle), out, "--max-shard-size", "16B"]) == 0
    assert main(["inspect", str(tmp_path / "w.safetensors.index.json"), "--json"]) == 0
    capsys.readouterr()
    first, again = (weightlift.open(path).state_dict() for path in (bundle, tmp_path / "w.safetensors.index.json"))
    assert list(again) == list(first)
    assert all(bytes(again[key].numpy()) == bytes(first[key].numpy()) for key in first)
    with pytest.raises(SystemExit) as ended:
        main(["extract", str(bundle), out, "--max-shard-size", "5 apples"])
    assert ended.value.code == 2


def test_apply_says_what_is_left_to_a_model(write, tmp_path, capsys):
    """A file has no names for `init -> head.**` to stand for: that line is told, and the rest is written."""
    path = write(torch_zip(pickled(dict_of(("module.w", tensor())))))
    (tmp_path / "plan.toml").write_text(
        'plan = 1\n[[block]]\nrules = """\nmodule.** -> **\ninit  -> head.** "new"\n"""\n'
    )
    assert main(["apply", str(path), str(tmp_path / "plan.toml"), str(tmp_path / "out")]) == 0
    assert 'is left to a model, no file has it: init -> head.** "new"' in capsys.readouterr().err
    assert list(weightlift.open(tmp_path / "out").state_dict()) == ["w"]


def test_inverting_no_plan_is_wrong_usage(bundle, capsys):
    """`--invert` without `--rules` is an error with its remedy, not a finding."""
    assert main(["plan", str(bundle), str(bundle), "--invert"]) == 2
    assert capsys.readouterr().err == "weightlift: --invert without a plan; expected --rules FILE\n"


@pytest.fixture
def explained(write, tmp_path):
    """The arguments of a plan with a comment, between two files."""
    old = write(torch_zip(pickled(dict_of(("module.w", tensor()), ("module.v", tensor())))), "old.pt")
    new = write(torch_zip(pickled(dict_of(("w", tensor()), ("u", tensor())))), "new.pt")
    rules = tmp_path / "plan.toml"
    rules.write_text('plan = 1\n[[block]]\nrules = """\nmodule.w -> w\nmodule.v -> u  # the same shape\n"""\n')
    return ["plan", str(old), str(new), "--rules", str(rules)]


def test_explain_tells_the_rule_and_why_line_by_line(explained, capsys):
    """One name is explained by what it is made of and the rule with its comment, each on a line of its own."""
    assert main([*explained, "--explain", "u"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "target u: exact, float32 [4] made of module.v",
        "  line 5: module.v -> u  # the same shape",
        "  of the same shape: module.w",
    ]


def test_explain_as_json_is_of_that_name_alone(explained, capsys):
    """The document has the lines of the name, with the rule and its comment."""
    assert main([*explained, "--json", "--explain", "module.v"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["key"]) == ("explanation", "module.v")
    (line,) = document["lines"]
    assert (line["key"], line["status"], line["rule"], line["comment"]) == (
        "u", "exact", "module.v -> u", "the same shape",
    )  # fmt: skip


def test_explaining_a_name_of_neither_side_is_an_error(explained, capsys):
    """A slip of the pen is told as one, with the nearest names."""
    assert main([*explained, "--explain", "module.x"]) == 2
    assert capsys.readouterr().err.startswith("weightlift: 'module.x' is on neither side")


FACTORY = """
import sys
from torch import nn

def loud():
    print("weights on the way")
    return nn.Linear(2, 2)

def quits():
    sys.exit(3)
"""


def test_what_a_factory_prints_is_no_part_of_the_output(write, tmp_path, monkeypatch, capsys):
    """A JSON document stays one; what the user's code says goes to stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loud_factory.py").write_text(FACTORY)
    source = write(torch_zip(pickled(dict_of(("weight", tensor())))))
    assert main(["plan", str(source), "loud_factory:loud", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["kind"] == "plan"
    assert "weights on the way" in told.err


def test_a_factory_that_exits_is_an_error(write, tmp_path, monkeypatch, capsys):
    """The user's code does not choose the exit code of this command."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quitting_factory.py").write_text(FACTORY)
    source = write(torch_zip(pickled(dict_of(("weight", tensor())))))
    assert main(["plan", str(source), "quitting_factory:quits"]) == 2
    assert "quitting_factory:quits: cannot be made: SystemExit: 3" in capsys.readouterr().err


def test_which_state_dict_of_the_target(write, capsys):
    """Where the target holds several state dicts, the error names the option that chooses, and it does."""
    source = write(torch_zip(pickled(dict_of(("v", tensor(shape=(2,)))))), "one.pt")
    both = dict_of(("G", dict_of(("w", tensor()))), ("D", dict_of(("v", tensor(shape=(2,))))))
    target = write(torch_zip(pickled(both)), "two.pt")
    assert main(["plan", str(source), str(target)]) == 2
    assert "choose one: --target-name 'G'" in capsys.readouterr().err
    assert main(["plan", str(source), str(target), "--target-name", "D"]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["loud_factory:loud", "--target-name", "G"], "the state dict 'G' of a factory's model"),
        (["one.pt", "--rules", "rules.toml", "--invert", "--explain", "weight"], "--explain beside --invert"),
    ],
)
def test_options_that_would_be_passed_over(write, tmp_path, monkeypatch, capsys, given, message):
    """An option that means nothing beside the others is an error, not silence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loud_factory.py").write_text(FACTORY)
    weightlift.Plan.of("** -> **").save("rules.toml")
    write(torch_zip(pickled(dict_of(("weight", tensor())))), "one.pt")
    assert main(["plan", "one.pt", *given]) == 2
    assert message in capsys.readouterr().err
