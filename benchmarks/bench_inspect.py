"""`weightlift inspect` against `python -c pass`: how long, how much memory, and whether size matters.

    python benchmarks/bench_inspect.py [--python PYTHON] [--torch-python PYTHON] [--markdown]

`--python` is the interpreter of an environment with weightlift as users install it (default: this one),
`--torch-python` one with torch, which makes the files. Targets: at most 4 times an empty Python, 25 MB.
"""

from __future__ import annotations

from files import KINDS, make_sparse_state_dict, make_transformer
from measuring import arguments, interleave, megabytes, print_table, ratio, seconds, title

MB = 10**6


def main() -> None:
    given = arguments(__doc__, repeats=25)
    with given.folder() as folder:
        make_transformer(folder, 400 * MB, *KINDS, python=given.torch_python)
        commands = {"python -c pass": [given.python, "-c", "pass"]}
        for kind in KINDS:
            commands[f"inspect, {kind.replace('-', ' ')}, 400 MB"] = [
                given.weightlift,
                "inspect",
                f"{folder}/{kind}.pt",
            ]
        for size in (4, 400, 4000):
            make_sparse_state_dict(f"{folder}/{size}.pt", size * MB)
            commands[f"inspect, state dict of holes, {size} MB"] = [given.weightlift, "inspect", f"{folder}/{size}.pt"]
        runs = interleave(commands, repeats=given.repeats)
    title("Inspect", given)
    rows = [
        (name, seconds(run.wall), seconds(run.cpu), f"{ratio(runs, name, 'python -c pass'):.1f}", megabytes(run.peak))
        for name, run in runs.items()
    ]
    print_table(("command", "wall", "CPU", "times `pass`", "peak memory"), rows, markdown=given.markdown)


if __name__ == "__main__":
    main()
