"""A process that reads one file after the other, each within its own budget of memory and processor time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys

MEMORY_NBYTES = 200 << 20
SECONDS = 3.0  # of processor time: 2, and half as much again where the core is shared with others
READY = "ready"


def _virtual_nbytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def read(path: str, verb: str, out: str) -> dict[str, object]:
    """Return how one verb ends on a file: an error's class and message, or what was found."""
    import weightlift as wl
    from weightlift.errors import WeightliftError
    from weightlift.faces.cli import main

    try:
        if verb == "open":
            dicts = wl.open(path).state_dicts
            return {"weights": {name: list(found) for name, found in dicts.items()}}
        if verb == "values":
            return {"values": {key: value.tobytes().hex() for key, value in wl.open(path).state_dict().items()}}
        if verb == "extract":
            from weightlift.actions.extract import extract

            return {"nbytes": extract(path, out).written.nbytes, "names": list(wl.open(out).state_dict())}
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main([*verb.split(), path])
        return {"code": code, "said": said.getvalue()[-4000:]}
    except WeightliftError as error:
        return {"error": type(error).__name__, "said": str(error)}
    finally:
        if os.path.exists(out):
            os.remove(out)


def serve() -> None:
    """Answer one request a line until there are no more."""
    import weightlift.actions.extract
    import weightlift.formats.bare_pickle
    import weightlift.formats.sharded
    import weightlift.writers  # noqa: F401 - what every file needs is no cost of a file

    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        path, verb, out = json.loads(line)
        resource.setrlimit(resource.RLIMIT_AS, (_virtual_nbytes() + MEMORY_NBYTES, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # ends the process: nothing that runs can hold it up
        try:
            found = read(path, verb, out)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test says so
            found = {"unnamed": f"{type(error).__name__}: {error}"[:300]}
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
