"""Plans: `weightlift apply` against `cp`, loading into a live module against torch, and checking many tensors.

    python benchmarks/bench_plans.py [--python PYTHON] [--torch-python PYTHON] [--markdown]

Targets at 400 MB: a plan that only renames at most 1.3 times plain `cp` and 100 MB of memory; a script that
loads into a module at most 1.15 times one that does it with torch; a check of 10,000 tensors below a second,
and in proportion to their number. `--torch-python` has to have weightlift too.
"""

from __future__ import annotations

import os
import subprocess

from files import make_transformer
from measuring import Runs, arguments, interleave, megabytes, print_table, ratio, seconds, title

MB = 10**6

PLAN = """plan = 1

[[block]]
rules = '''
** -> model.**
'''
"""

LOAD = """
import sys
from time import perf_counter
import torch
path, how, assign = sys.argv[1], sys.argv[2], sys.argv[3] == "assign"

class Block(torch.nn.Module):
    def __init__(self, d):
        super().__init__()
        self.qkv, self.out = torch.nn.Linear(d, 3 * d), torch.nn.Linear(d, d)
        self.up, self.down, self.norm = torch.nn.Linear(d, 4 * d), torch.nn.Linear(4 * d, d), torch.nn.LayerNorm(d)

with torch.device("meta"):
    model = torch.nn.Sequential(*[Block(816) for _ in range(12)])
model = model.to_empty(device="cpu")
for parameter in model.parameters():
    parameter.detach().zero_()
if how == "make":
    torch.save(model.state_dict(), path)
    sys.exit()
for told in sys.argv[4:]:
    begun = perf_counter()
    if how == "torch":
        model.load_state_dict(torch.load(path, mmap=True), assign=assign)
    else:
        import weightlift
        weightlift.load(model, path, assign=assign)
    with open(told, "a") as file:
        print(perf_counter() - begun, file=file)
"""

CHECK = """
import sys
from time import perf_counter
from weightlift.dtypes import dtype_named
from weightlift.mapping.plan import Plan
from weightlift.sources import Source
from weightlift.tensors.lazy import Storage, contiguous
count, told = int(sys.argv[1]), sys.argv[2]
kinds = [f"kind{n}" for n in range(20)]
dtype = dtype_named("float32")
source = {f"h.{i}.{kinds[i % 20]}.weight": contiguous(dtype, (8, 8), Storage(str(i), 256)) for i in range(count)}
target = {key.replace("h.", "layers.", 1): ((8, 8), dtype) for key in source}
plan = Plan.of("\\n".join(f"h.{{i}}.{kind}.{{t}} -> layers.{{i}}.{kind}.{{t}} : t" for kind in kinds))
begun = perf_counter()
problems = plan.check(source, target).problems
took = perf_counter() - begun
if problems:
    sys.exit(str(problems[0]))
with open(told, "a") as file:
    print(took, file=file)
"""


def main() -> None:
    given = arguments(__doc__, repeats=7)
    title("Plans", given)
    with given.folder() as folder:
        out, plan, told = f"{folder}/out", f"{folder}/plan.toml", f"{folder}/told"
        with open(plan, "w", encoding="utf-8") as file:
            file.write(PLAN)

        def nothing_there(_: str) -> None:
            """Every command writes a new file onto a disk that is at rest."""
            if os.path.exists(out):
                os.unlink(out)
            os.sync()

        path = f"{folder}/state-dict.pt"
        make_transformer(folder, 400 * MB, "state-dict", python=given.torch_python)
        commands = {
            "cp": ["cp", path, out],
            "cp && sync": ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", path, out],
            "weightlift apply": [given.python, "-m", "weightlift", "apply", path, plan, out],
        }
        runs = interleave(commands, repeats=given.repeats, before_each=nothing_there)
        head: tuple[str, ...] = ("command", "wall", "CPU", "times `cp`", "times `cp && sync`", "peak memory")
        rows: list[tuple[str, ...]] = []
        for name, run in runs.items():
            against = [f"{ratio(runs, name, base):.2f}" for base in ("cp", "cp && sync")]
            rows.append((name, seconds(run.wall), seconds(run.cpu), *against, megabytes(run.peak)))
        print_table(head, rows, markdown=given.markdown)
        nothing_there("")

        rows = []
        python = given.torch_python
        subprocess.run([python, "-c", LOAD, path, "make", ""], check=True)
        for way in ("assign", "in place"):
            calls = {
                f"{name}, {way}{again}": f"{told}-{name}-{way}{again}"
                for name in ("torch", "weightlift")
                for again in ("", ", again")
            }
            scripts = {
                f"{name}, {way}": [python, "-c", LOAD, path, name, way, calls[f"{name}, {way}"]]
                for name in ("torch", "weightlift")
            }
            runs = interleave(scripts, repeats=given.repeats)
            twice = {name: [*script, calls[f"{name}, again"]] for name, script in scripts.items()}
            for told_once in calls.values():
                if os.path.exists(told_once):
                    os.unlink(told_once)
            interleave(twice, repeats=given.repeats)
            times = {name: Runs(wall=_told(file)[1:]) for name, file in calls.items()}
            base = f"torch, {way}"
            for name, run in runs.items():
                row = [name, seconds(run.wall), f"{ratio(runs, name, base):.2f}"]
                for again in ("", ", again"):
                    row += [seconds(times[name + again].wall), f"{ratio(times, name + again, base + again):.2f}"]
                rows.append((*row, megabytes(run.peak)))
        head = ("load into a module", "whole script", "times torch", "first call", "times torch",
                "second call", "times torch", "peak memory")  # fmt: skip
        print_table(head, rows, markdown=given.markdown)

        counts = (1000, 10_000, 100_000)
        checks = {str(count): [given.python, "-c", CHECK, str(count), f"{told}-{count}"] for count in counts}
        interleave(checks, repeats=max(3, given.repeats // 2))
        times = {str(count): Runs(wall=_told(f"{told}-{count}")[1:]) for count in counts}
        rows = [
            (f"{count:,}", seconds(times[str(count)].wall), "" if i == 0 else
             f"{ratio(times, str(count), str(counts[i - 1])):.1f}")
            for i, count in enumerate(counts)
        ]  # fmt: skip
        print_table(("tensors checked", "seconds", "times the line above"), rows, markdown=given.markdown)


def _told(path: str) -> list[float]:
    """The seconds that a script wrote down, one line for each run."""
    with open(path, encoding="utf-8") as lines:
        return [float(line) for line in lines]


if __name__ == "__main__":
    main()
