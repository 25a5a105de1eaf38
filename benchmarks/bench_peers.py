"""weightlift against the other ways to list a checkpoint, to read one tensor of it, and to convert it.

    python benchmarks/bench_peers.py [--torch-python PYTHON] [--markdown]

`--torch-python` is an environment with weightlift, torch, safetensors, and tinygrad where it should be
measured too; every command runs in it, as one fresh process, imports included: that is what a script pays.
"""

from __future__ import annotations

import os
import subprocess

from files import make_transformer
from measuring import arguments, interleave, megabytes, print_table, ratio, seconds, title

KEY = "layers.11.linear1.weight"
WAYS = {
    # task: name: code, with the file, the output and the same weights as safetensors in argv
    "list": {
        "weightlift": "import weightlift as wl; [(k, t.shape) for k, t in wl.open(a[1]).state_dict().items()]",
        "torch.load(mmap=True)": (
            "import torch; [(k, t.shape) for k, t in torch.load(a[1], mmap=True, weights_only=True).items()]"
        ),
        "tinygrad torch_load": (
            "from tinygrad.nn.state import torch_load; [(k, t.shape) for k, t in torch_load(a[1]).items()]"
        ),
        "safetensors.safe_open, converted before": (
            "from safetensors import safe_open\n"
            "with safe_open(a[3], 'np') as f: [(k, f.get_slice(k).get_shape()) for k in f.keys()]"
        ),
    },
    "read one tensor": {
        "weightlift, as numpy": f"import weightlift as wl; wl.open(a[1]).state_dict()[{KEY!r}].numpy().sum()",
        "weightlift, as torch": f"import weightlift as wl; wl.open(a[1]).state_dict()[{KEY!r}].torch().sum()",
        "torch.load(mmap=True)": f"import torch; torch.load(a[1], mmap=True, weights_only=True)[{KEY!r}].sum()",
        "tinygrad torch_load, as numpy": (
            f"from tinygrad.nn.state import torch_load; torch_load(a[1])[{KEY!r}].numpy().sum()"
        ),
        "safetensors.safe_open as numpy, converted before": (
            f"from safetensors import safe_open\nwith safe_open(a[3], 'np') as f: f.get_tensor({KEY!r}).sum()"
        ),
    },
    "convert to safetensors": {
        "weightlift extract": "import weightlift as wl; wl.extract(a[1], a[2])",
        "torch.load(mmap=True), save_file": (
            "import torch; from safetensors.torch import save_file; "
            "save_file(torch.load(a[1], mmap=True, weights_only=True), a[2])"
        ),
        "tinygrad torch_load, safe_save": (
            "from tinygrad.nn.state import torch_load, safe_save; safe_save(torch_load(a[1]), a[2])"
        ),
    },
}


def main() -> None:
    given = arguments(__doc__, repeats=7)
    python = given.torch_python
    rows = []
    with given.folder() as folder:
        path, out, converted = f"{folder}/state-dict.pt", f"{folder}/out", f"{folder}/converted.safetensors"
        make_transformer(folder, 400 * 10**6, "state-dict", python=python)
        convert = "import sys; a = sys.argv; " + WAYS["convert to safetensors"]["weightlift extract"]
        subprocess.run([python, "-c", convert, path, converted], check=True)

        def nothing_there(_: str) -> None:
            if os.path.exists(out):
                os.unlink(out)
                os.sync()

        for task, ways in WAYS.items():
            commands = {
                name: [python, "-c", "import sys; a = sys.argv\n" + code, path, out, converted]
                for name, code in ways.items()
            }
            for name in [name for name, command in commands.items() if not _works(command)]:
                del commands[name]
                rows.append((task, name, "does not run here", "", "", ""))
            runs = interleave(commands, repeats=given.repeats, before_each=nothing_there)
            ours = next(iter(runs))
            for name, run in runs.items():
                times = f"{ratio(runs, name, ours):.1f}"
                rows.append((task, name, seconds(run.wall), seconds(run.cpu), times, megabytes(run.peak)))
    title("Peers", given)
    print_table(("task", "with", "wall", "CPU", "times ours", "peak memory"), rows, markdown=given.markdown)


def _works(command: list[str]) -> bool:
    """Whether it runs at all: tinygrad, for one, needs clang even to list a file."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    main()
