"""`weightlift extract` against `cp`, and against `cp` followed by a flush to the disk.

    python benchmarks/bench_extract.py [--python PYTHON] [--torch-python PYTHON] [--markdown]

weightlift flushes what it wrote to the disk before it gives the file its name; plain `cp` leaves that for
later, `cp && sync FILE` and `dd conv=fsync` do not. Targets: whole modules at most 2 times plain `cp` at
400 MB and 1.3 times at 2 GB, at most 40 MB of memory whatever the size, transposed tensors included.
"""

from __future__ import annotations

import os

from files import make_transformer, make_transposed
from measuring import arguments, interleave, megabytes, print_table, ratio, seconds, title

MB = 10**6


def main() -> None:
    given = arguments(__doc__, repeats=7)
    rows = []
    with given.folder() as folder:
        out = f"{folder}/out"

        def nothing_there(_: str) -> None:
            """Every command writes a new file onto a disk that is at rest."""
            if os.path.exists(out):
                os.unlink(out)
            os.sync()

        for size in (400, 2000):
            path = f"{folder}/module.pt"
            make_transformer(folder, size * MB, "module", python=given.torch_python)
            commands = {
                "cp": ["cp", path, out],
                "cp && sync": ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", path, out],
                "dd conv=fsync": ["dd", f"if={path}", f"of={out}", "bs=4194304", "conv=fsync"],
                "weightlift extract": [given.weightlift, "extract", path, out],
            }
            runs = interleave(commands, repeats=given.repeats, before_each=nothing_there)
            for name, run in runs.items():
                against = [f"{ratio(runs, name, base):.2f}" for base in ("cp", "cp && sync")]
                what = f"{name}, module of {size} MB"
                rows.append((what, seconds(run.wall), seconds(run.cpu), *against, megabytes(run.peak)))
            os.unlink(path)
        for size in (64, 1000):
            path = f"{folder}/transposed.pt"
            make_transposed(path, size * MB, python=given.torch_python)
            commands = {"cp": ["cp", path, out], "weightlift": [given.weightlift, "extract", path, out]}
            runs = interleave(commands, repeats=max(2, given.repeats // 2), before_each=nothing_there)
            run = runs["weightlift"]
            what = f"weightlift extract, transposed matrix of {size} MB"
            against = f"{ratio(runs, 'weightlift', 'cp'):.2f}"
            rows.append((what, seconds(run.wall), seconds(run.cpu), against, "", megabytes(run.peak)))
            os.unlink(path)
    title("Extract", given)
    head = ("command", "wall", "CPU", "times `cp`", "times `cp && sync`", "peak memory")
    print_table(head, rows, markdown=given.markdown)


if __name__ == "__main__":
    main()
