"""The words that say which files are parsed: none that a rule would find something in is passed over."""

from __future__ import annotations

import pytest

from weightlift.lints.prefilter import prefilter
from weightlift.lints.rule import rule

from lint_fixtures import findings, fixtures, name

LOADS = [
    "import torch\ntorch.load(p)",
    "import torch as th\nth.load(p)",
    "import torch.serialization as s\ns.load(p)",
    "from torch import load\nload(p)",
    "from torch import nn, load as read\nread(p)",
    "from torch import (\n    nn,\n    load as read,\n)\nread(p)",
    "from torch import nn, \\\n    load as read\nread(p)",
    "from torch.serialization import load\nload(p)",
    "from torch import serialization as s\ns.load(p)",
    "import torch\nread = torch.load\nread(p)",
    "import torch\nt = torch\nt.load(p)",
    "import torch\r\nt = torch\r\nt.load(p)",
    "# torch.load(p)\nimport torch\nx = torch.load(p)  # torch.load(p)",
    "# what torch.load does\rimport torch\rtorch.load(p)",
]


@pytest.mark.parametrize("path", fixtures("bad"), ids=name)
def test_no_fixture_is_passed_over(path):
    """A file that a rule finds something in has the words that the rule asks for."""
    data = path.read_bytes()
    assert findings(path)
    assert [each.code for each in prefilter([rule(path.parent.name)])(data)] == [path.parent.name]


@pytest.mark.parametrize("text", LOADS)
def test_a_call_is_seen_under_every_name(text):
    """A file that calls torch.load by another name is looked at, and one finding comes of it."""
    data = text.encode()
    assert [each.code for each in prefilter([rule("WL301")])(data)] == ["WL301"]


@pytest.mark.parametrize(
    "text",
    [
        "import torch\nfrom torch import nn\nself.load(p)",
        "import torch\nmodel.load_state_dict(w)",
        "import mine\nmine.load(p)",
        "import json\njson.load(torch)",
        "import torch\ndef f():\n    '''\n    >>> torch.load(p)\n    '''\n    # torch.load(p)",
    ],
)
def test_what_cannot_call_is_not_parsed(text):
    """A file that has no way to call torch.load is not looked at for it."""
    assert prefilter([rule("WL308")])(text.encode()) == []


def test_all_is_asked_for_at_once():
    """The filter of many rules says of each what its own says, in their order."""
    rules = [rule(code) for code in ("WL101", "WL102", "WL304", "WL308", "WL403", "WL408")]
    together = prefilter(rules)
    for path in (*fixtures("bad"), *fixtures("good")):
        data = path.read_bytes()
        assert together(data) == [each for each in rules if prefilter([each])(data)]
