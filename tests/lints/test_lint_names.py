"""What names mean and hold: followed where the text makes it certain, and nowhere else."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from weightlift.lints.source_file import SourceFile

CERTAIN = {
    "import torch as th\nuse(th.load)": "torch.load",
    "from torch import load as read\nuse(read)": "torch.load",
    "import torch.nn as nn\nuse(nn.Linear)": "torch.nn.Linear",
    "import torch.nn\nuse(torch.nn.Linear)": "torch.nn.Linear",
    "from torch import nn\ndef f():\n    use(nn.Linear)": "torch.nn.Linear",
    "def f():\n    import torch as t\n    use(t.load)": "torch.load",
    "import torch\nread = torch.load\nuse(read)": "torch.load",
    "use(torch.load)": "torch.load",
    "from .mine import load\nuse(load)": ".mine.load",
    "try:\n    import torch\nexcept ImportError:\n    raise\nuse(torch.save)": "torch.save",
    "import torch\nclass A:\n    torch = 1\n    def f(self):\n        use(torch.load)": "torch.load",
}
UNCERTAIN = [
    "def f(torch):\n    use(torch.load)",
    "import torch\ntorch = wrap(torch)\nuse(torch.load)",
    "try:\n    from torch import load\nexcept ImportError:\n    from mine import load\nuse(load)",
    "def load():\n    pass\nuse(load)",
    "import torch\nuse(torch.load())",
    "import torch\nuse([torch.load for torch in x][0])",
    "a = b\nb = a\nuse(a)",
]


def used(text):
    """Return a file and what its last call of `use` is handed."""
    file = SourceFile("a.py", dedent(text).encode())
    calls = [call for call in file.nodes[ast.Call] if isinstance(call.func, ast.Name) and call.func.id == "use"]
    return file, max(calls, key=lambda call: call.lineno).args[0]


@pytest.mark.parametrize(("text", "name"), CERTAIN.items(), ids=CERTAIN.values())
def test_a_name_is_what_it_was_imported_as(text, name):
    """A name is followed through imports and assignments to the full name of what it stands for."""
    file, node = used(text)
    assert file.qualified(node) == name


@pytest.mark.parametrize("text", UNCERTAIN)
def test_a_name_that_may_be_another_is_nothing(text):
    """A name that is a parameter, is assigned twice, or is the file's own has no full name."""
    file, node = used(text)
    assert file.qualified(node) is None


MADE = "class A:\n  def __init__(self):\n    self.m = nn.Linear(1, 1)\n"
GIVEN = MADE.replace("nn.Linear(1, 1)", "m") + "  def g(self):\n"
HOLDS = {
    "m = nn.Linear(1, 1)\nuse(m)": "module",
    "m = nn.Linear(1, 1).to(d).eval()\nuse(m)": "module",
    "class A(nn.Module): pass\nclass B(A): pass\nm = B()\nuse(m)": "module",
    "def f(m: nn.Module):\n    use(m)": "module",
    "def f(m: 'nn.Module | None'):\n    use(m)": None,
    "def f(m: nn.Module | None):\n    use(m)": "module",
    "def f(m):\n    x = m.parameters()\n    use(m)": "module",
    "def f(m):\n    use(m)": None,
    "m = None\nif x:\n    m = nn.Linear(1, 1)\nuse(m)": "module",
    "if x:\n    m = nn.Linear(1, 1)\nelse:\n    m = torch.load(p)\nuse(m)": None,
    "m = torch.load(p)\nm = nn.Linear(1, 1)\nuse(m)": "module",
    "o = torch.optim.Adam(p)\nuse(o)": "optimizer",
    "from torch.optim import AdamW\no = AdamW(p)\nuse(o)": "optimizer",
    "def f(o):\n    o.zero_grad()\n    o.step()\n    use(o)": "optimizer",
    "s = torch.optim.lr_scheduler.StepLR(o, 1)\nuse(s)": "scheduler",
    "use(torch.load(p))": "loaded",
    "with open(p, 'rb') as f:\n    use(f)": "file",
    "sd = m.state_dict()\nuse(sd)": "state_dict",
    "use({k: v.cpu() for k, v in m.state_dict().items()})": "state_dict",
    "import copy\nuse(copy.deepcopy(m.state_dict()))": "state_dict",
    "use(dict(m.state_dict()))": "state_dict",
    "use({})": "dict",
    "use(nn.Parameter(t))": None,
    "use(nn.functional.relu(t))": None,
    "w = nn.Linear(1, 1)\nfor w in ws:\n    use(w)": None,
    "sd = m.state_dict()\nfor i in x:\n    use(sd)\n    sd = torch.load(p)": None,
    MADE + "  def f(self):\n    use(self.m)": "module",
    MADE + "  def g(self):\n    self.m = torch.load(p)\n  def f(self):\n    use(self.m)": None,
    "a, b = nn.Linear(1, 1), torch.load(p)\nuse(a)": "module",
    "m = m\nuse(m)": None,
    "sd = m.state_dict()\nsd = {k: v for k, v in use(sd).items()}": "state_dict",
    "sd = m.state_dict()\nuse([sd for sd in sd])": None,
    "sd = m.state_dict()\nx = [i for a in b for i in use(sd)]": "state_dict",
    "def f(sd=use(nn.Linear(1, 1))):\n    pass": "module",
    "m = nn.Linear(1, 1)\ndef f(m=use(m)):\n    pass": "module",
    "m = nn.Linear(1, 1)\nfor m in use(m):\n    pass": "module",
    "m = nn.Linear(1, 1)\nwith use(m) as m:\n    pass": "module",
    GIVEN + "    self.m.parameters()\n  def f(self):\n    use(self.m)": "module",
    GIVEN + "    self.m.parameters()\n    self.m.zero_grad()\n    self.m.step()\n  def f(self):\n    use(self.m)": None,
    "class A:\n  def g(self):\n    self.m.eval().train()\nclass B:\n  def f(self):\n    use(self.m)": None,
    "m = nn.Linear(1, 1)\ndef g():\n    global m\n    m = torch.load(p)\ndef f():\n    use(m)": None,
    "m = nn.Linear(1, 1)\n" + "m = m.to(d)\n" * 2000 + "use(m)": None,
    "m = nn.Linear(1, 1)\n" + "m = m.to(d)\n" * 20 + "use(m)": "module",
}


@pytest.mark.parametrize(("text", "kind"), HOLDS.items(), ids=range(len(HOLDS)))
def test_what_a_name_holds(text, kind):
    """What a name holds is known where every assignment that reaches its use agrees, and is None elsewhere."""
    file, node = used("import torch\nfrom torch import nn\n" + text)
    assert file.holds(node) == kind


REACHES = {
    "for k in a:\n    use(k)\n    k = k[7:]": [1],
    "for i in a:\n    for k in b:\n        use(k)\n        k = k[7:]": [2],
    "k = 1\nfor i in a:\n    use(k)\n    k = k[7:]": [1, 4],
    "for i in a:\n    k = 1\n    use(k)\n    k = k[7:]": [2],
    "k = 1\nfor k in use(k):\n    k = 2": [1],
    "k = 1\nfor i in a:\n    for k in use(k):\n        pass": [1, 3],
    "while a:\n    use(k)\n    k = k[7:]": [3],
    "for k in a:\n    k = k[7:]\n    use(k)": [2],
    "for k in a:\n    if b:\n        k = k[7:]\n    use(k)": [1, 3],
}


@pytest.mark.parametrize(("text", "lines"), REACHES.items())
def test_which_assignments_reach_a_use(text, lines):
    """An assignment reaches a use if it may be the last that ran; what a loop binds anew each turn forgets the last."""
    file, node = used(text)
    assert sorted(binding.owner.lineno for binding in file.flow.reaching(node)) == lines


def test_places_count_characters():
    """Columns count characters from 1, also behind what takes more than a byte, and ends are past the last one."""
    file, node = used("é = 'ü'; use(abc)")
    assert file.range(node) == (1, 14, 1, 17)
    assert file.text(node) == "abc"
