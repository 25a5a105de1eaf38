"""Predictions of inferred plans for recorded conversions, in the form that their scorer reads.

python benchmarks/mapbench.py PAIRS_DIR --out PREDICTIONS_DIR
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from time import perf_counter
from typing import Any

from weightlift.dtypes import DTYPES
from weightlift.mapping.infer.find import find
from weightlift.mapping.infer.match import Match

Schema = dict[str, Any]


def predictions(match: Match, target: Schema) -> dict[str, Any]:
    """Return what a match says of each of its targets."""
    confidence = {"confidence": "unsure" if match.doubt else "sure"}
    start, out = 0, {}
    for key in match.targets:
        shape = list(target[key][0])
        op: dict[str, Any] = {"op": "copy", "from": list(match.sources)}
        for word in match.ops.split(" | "):
            op = _step(op, word, shape, start)
        start += shape[0] if shape else 0
        out[key] = {**op, **confidence}
    return out


def _step(op: dict[str, Any], word: str, shape: list[int], start: int) -> dict[str, Any]:
    names = op["from"]
    if word == "t":
        step = {"op": "transpose", "perm": [1, 0]}
    elif word.startswith("reshape"):
        step = {"op": "reshape", "shape": [int(n) for n in re.findall(r"\d+", word)]}
    elif word.startswith("split"):
        step = {"op": "slice", "dim": 0, "offset": start, "length": shape[0]}
    elif word == "cat(0)":
        count = shape[0] if len(shape) == 3 else 1
        size = len(names) // count
        parts = [{"op": "concat", "dim": 0, "from": names[i * size : (i + 1) * size]} for i in range(count)]
        return {**parts[0], "from": names, "parts_of": parts} if count > 1 else parts[0]
    elif word == "stack(0)":
        made: dict[str, Any] = {"op": "stack", "dim": 0, "from": names}
        return made | ({"parts": op["parts_of"]} if "parts_of" in op else {})
    else:
        return op
    if op["op"] == "copy":
        return {**step, "from": names}
    last = op
    while "then" in last:
        last = last["then"]
    last["then"] = step
    return op


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, metavar="PAIRS_DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="PREDICTIONS_DIR")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    begun = perf_counter()
    for path in sorted(given.pairs.glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        source, target = (
            {key: (tuple(shape), DTYPES[dtype]) for key, shape, dtype in record[side]} for side in ("source", "target")
        )
        said: dict[str, Any] = {}
        for match in find(source, target):
            said |= predictions(match, target)
        (given.out / path.name).write_text(json.dumps({"map": said}), "utf-8")
    print(f"{perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
