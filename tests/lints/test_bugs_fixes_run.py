"""What programs do before and after the fixes of the rules about certain bugs and deprecated calls, under torch."""

from __future__ import annotations

import textwrap
import warnings

import pytest

from weightlift.lints.check import check_file
from weightlift.lints.fixing import choose, edits_by_path, rewritten
from weightlift.lints.rule import rule
from weightlift.lints.source_file import SourceFile
from weightlift.lints.values import Settings

torch = pytest.importorskip("torch")
pytest.importorskip("libcst")

_START = "import torch\nfrom torch import nn\n\ntorch.manual_seed(0)\n"


def _programs(code: str, text: str, **settings: str) -> tuple[str, str]:
    """Return a program, and the same after every fix of a rule."""
    before = _START + textwrap.dedent(text)
    found = check_file(SourceFile("program.py", before.encode(), Settings(**settings)), [rule(code)])
    chosen = choose(found, unsafe=True)
    assert chosen
    return before, rewritten(before.encode(), edits_by_path(chosen)["program.py"]).decode()


def _run(program: str) -> dict[str, object]:
    """Return what a program leaves behind, its warnings as `warned`."""
    names: dict[str, object] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(compile(program, "program.py", "exec"), names)  # our own programs
    names["warned"] = [str(each.message) for each in caught if "Positional args" in str(each.message)]
    return names


def test_lstrip_eats_the_beginnings_of_layers_and_removeprefix_does_not():
    """WL102: keys that began with letters of the prefix are whole after the fix, and load."""
    before, after = _programs(
        "WL102",
        """
        saved = {"module.encoder.weight": 1, "module.layer1.bias": 2, "module.fc.bias": 3, "plain.bias": 4}
        keys = [key.lstrip("module.") for key in saved]
        names = [key.rstrip(".weight") for key in ("height.weight", "a.bias")]
        """,
    )
    assert _run(before)["keys"] == ["ncoder.weight", "ayer1.bias", "fc.bias", "plain.bias"]
    assert _run(before)["names"] == ["", "a.bias"]
    assert _run(after)["keys"] == ["encoder.weight", "layer1.bias", "fc.bias", "plain.bias"]
    assert _run(after)["names"] == ["height", "a.bias"]


def test_lstrip_may_be_right_by_luck():
    """WL102: a prefix that stands there twice is cut off once after the fix, which is why that is unsafe."""
    before, after = _programs("WL102", 'key = "module.module.fc.weight".lstrip("module.")')
    assert _run(before)["key"] == "fc.weight"
    assert _run(after)["key"] == "module.fc.weight"


@pytest.mark.parametrize(
    "kept",
    [
        "model.state_dict()",
        "model.state_dict().copy()",
        "dict(model.state_dict())",
        "{k: v.cpu() for k, v in model.state_dict().items()}",
        "{k: v.detach() for k, v in model.state_dict().items()}",
    ],
)
def test_the_best_weights_are_those_of_the_best_step(kept):
    """WL103: what is loaded in the end are the last weights before the fix, and the best ones after it."""
    before, after = _programs(
        "WL103",
        f"""
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), 1.0)
        best_score, seen = -1, []
        for score in (1, 5, 2):
            optimizer.zero_grad()
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            seen.append(model.weight.detach().clone())
            if score > best_score:
                best_score = score
                best = {kept}
        model.load_state_dict(best)
        """,
    )
    assert _is_the_weight(_run(before), at=2)
    assert _is_the_weight(_run(after), at=1)


def _is_the_weight(names, *, at):
    return torch.equal(names["model"].weight, names["seen"][at])


@pytest.mark.parametrize(
    "kept", ["copy.deepcopy(model.state_dict())", "{k: v.clone() for k, v in model.state_dict().items()}"]
)
def test_what_the_rule_takes_for_a_copy_is_one(kept):
    """WL103: what is left alone does not change with the weights."""
    names: dict[str, object] = {}
    exec(f"import copy\n{_START}model = nn.Linear(2, 2)\nkept = {kept}", names)  # our own program
    with torch.no_grad():
        names["model"].weight.add_(1)
    assert not torch.equal(names["model"].weight, names["kept"]["weight"])


_TWO = """
    import copy
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    same = copy.deepcopy(model)
    other = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    mine, theirs, others = model.state_dict(), same.state_dict(), other.state_dict()
"""


def test_state_dicts_that_raised_are_compared():
    """WL104: `==` raises before the fix, and after it says what is equal and what is not."""
    before, after = _programs("WL104", _TWO + "    equal, unequal = mine == theirs, (mine == others)\n")
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        _run(before)
    assert (_run(after)["equal"], _run(after)["unequal"]) == (True, False)


@pytest.mark.parametrize(
    ("compared", "to"),
    [
        ("assert model.state_dict() == {}.state_dict()", None),
        ("assert model.state_dict() == {}.state_dict()", "weightlift"),
        ("assert not model.state_dict() != {}.state_dict()", "weightlift"),
    ],
)
def test_assertions_hold_for_equal_weights_and_fail_for_others(compared, to):
    """WL104: an assertion raises a RuntimeError before the fix; after it, it holds or fails."""
    before, after = _programs("WL104", _TWO + f"    {compared.format('same')}\n", to=to)
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        _run(before)
    _run(after)
    _, failing = _programs("WL104", _TWO + f"    {compared.format('other')}\n", to=to)
    with pytest.raises(AssertionError):
        _run(failing)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("WL201", "given = {}\ngot = nn.Linear(2, 2).state_dict(given, 'x.', True)\nsame = got is given"),
        ("WL201", "got = nn.Linear(2, 2).state_dict(None, 'x.')"),
        (
            "WL202",
            """
            class Block(nn.Linear):
                def state_dict(self, destination=None, prefix="", keep_vars=False):
                    return super().state_dict(destination, prefix, keep_vars)

            got = nn.Sequential(Block(2, 2), nn.Linear(2, 2)).state_dict(prefix="x.", keep_vars=True)
            """,
        ),
        (
            "WL202",
            """
            class Block(nn.Linear):
                def state_dict(self, destination=None, prefix="", keep_vars=False):
                    return nn.Module.state_dict(self, destination, prefix, keep_vars)

            got = nn.Sequential(Block(2, 2), nn.Linear(2, 2)).state_dict(prefix="x.")
            """,
        ),
    ],
)
def test_keywords_give_the_same_state_without_a_warning(code, text):
    """WL201, WL202: torch warns before the fix and not after it; names, values and the dict are the same."""
    before, after = (_run(program) for program in _programs(code, text))
    assert before["warned"]
    assert not after["warned"]
    assert list(before["got"]) == list(after["got"])
    assert before["got"]["x.0.weight" if code == "WL202" else "x.weight"].requires_grad == (
        after["got"]["x.0.weight" if code == "WL202" else "x.weight"].requires_grad
    )
    assert before.get("same") is after.get("same")


def test_an_override_that_forgets_destination_vanishes_from_its_parent():
    """WL105: the weights of a child with a dict of its own are not in its parent's."""
    program = """
        class Own(nn.Linear):
            def state_dict(self, destination=None, prefix="", keep_vars=False):
                return super().state_dict()

        got = list(nn.Sequential(Own(2, 2), nn.ReLU(), nn.Linear(2, 2, bias=False)).state_dict())
    """
    assert _codes("WL105", program) == 1
    assert _run(_START + textwrap.dedent(program))["got"] == ["2.weight"]


def test_an_override_without_keywords_cannot_be_a_child():
    """WL106: a parent's state_dict raises a TypeError."""
    program = """
        class Own(nn.Linear):
            def state_dict(self):
                return super().state_dict()

        alone = list(Own(2, 2).state_dict())
        parent = nn.Sequential(Own(2, 2))
    """
    assert _codes("WL106", program) == 1
    names = _run(_START + textwrap.dedent(program))
    assert names["alone"] == ["weight", "bias"]
    with pytest.raises(TypeError, match="destination"):
        names["parent"].state_dict()


def _codes(code: str, program: str) -> int:
    """Return how many findings a rule has in a program."""
    data = (_START + textwrap.dedent(program)).encode()
    return len(check_file(SourceFile("program.py", data), [rule(code)]))
