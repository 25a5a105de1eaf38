"""One turn of one kind, in a process of its own: `python -m fuzz.slice KIND FOLDER SECONDS SEED ENGINE`.

What it counts lies in a small file that the parent reads even after a crash; what it finds, in `findings/`.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from typing import Any

from .counters import Counters

_HANG = 2.0  # seconds of processor time for one file
_MORE = 200 << 10  # KiB above what the process had before a file
_LONGEST = 20_000  # bytes of a changed file


class HangError(BaseException):
    """A file took too long; no `except Exception` on the way holds it up."""


class Turn:
    """A kind's target under watch: time, memory, exceptions, and what Python's audit events tell."""

    def __init__(self, kind: Any, folder: str, counters: Counters) -> None:
        self.kind = kind
        self.findings = os.path.join(folder, "findings")
        self.own = tempfile.mkdtemp(prefix="fuzz-")
        self.target = kind.target(self.own)
        self.counters = counters
        self.events: list[str] = []
        self.watching = False
        signal.signal(signal.SIGPROF, self._late)
        sys.addaudithook(self._audit)

    def run(self, data: bytes) -> object:
        """Run one file; return what tells its outcome from others': where it ended, by line."""
        self.counters.begin(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_PROF, _HANG)
        began = time.thread_time()
        outcome: object = None
        self.watching = True
        try:
            self.target(data)
        except HangError as error:
            self.watching = False
            self._record("hang", data, error)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            self.watching = False
            outcome = self._record("unnamed", data, error)
        finally:
            self.watching = False
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.counters.took(time.thread_time() - began)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > _MORE:
            self._record("memory", data, None)
        events, self.events = self.events, []
        if events:
            self._record("marker", data, None, "\n".join(events))
        return outcome

    def _late(self, *_: object) -> None:
        if self.watching:
            raise HangError

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        if event in ("exec", "compile", "marshal.loads") and self._is_importing_or_parsing(event, args):
            return
        if event == "os.remove" and self.kind.name == "step":
            return  # the files of the last directory
        if event in _ALWAYS or event.startswith(("socket.", "subprocess.", "ctypes.", "os.exec", "os.spawn")):
            self.events.append(f"{event} {args!r:.200}")
        elif event == "import" and not _own_module(str(args[0])):
            self.events.append(f"{event} {args[0]!r:.200}")
        elif event == "open" and _writes(args) and not str(args[0]).startswith(self.own):
            self.events.append(f"{event} {args!r:.200}")

    def _is_importing_or_parsing(self, event: str, args: tuple[Any, ...]) -> bool:
        """Whether a module or a dataclass of ours is being made, or `ast` parses a line of a plan."""
        if event == "compile" and self.kind.name == "plan" and args[1] == "<unknown>":
            return True
        frame: Any = sys._getframe(2)
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib") or frame.f_code.co_filename.endswith(
                "dataclasses.py"
            ):
                return True
            frame = frame.f_back
        return False

    def _record(self, what: str, data: bytes, error: BaseException | None, told: str = "") -> str:
        self.counters.found(what)
        where = ""
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in frames if "weightlift" in f.filename]
            where = f"{type(error).__name__} {own[-1:] if what == 'unnamed' else own[4:7]}"
            told = "".join(traceback.format_exception(error))
        name = f"{what}-{self.kind.name}-{hashlib.sha256((where or told).encode()).hexdigest()[:10]}"
        path = os.path.join(self.findings, name)
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(data)
            with open(f"{path}.txt", "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(told)
        return where


_ALWAYS = {"os.system", "os.posix_spawn", "os.fork", "os.forkpty", "exec", "compile", "pty.spawn", "code.__new__", "marshal.loads",
           "pickle.find_class", "webbrowser.open", "os.remove", "os.rename", "os.truncate", "shutil.copyfile"}  # fmt: skip


def _own_module(name: str) -> bool:
    """The product's own, and the standard library's that it asks for by name somewhere (tests hold that fixed)."""
    root = name.partition(".")[0]
    known = ("weightlift", "numpy", "ml_dtypes", "xxhash", "fuzz", "blake3")
    return root in known or root in sys.stdlib_module_names or root.startswith("_sysconfigdata_")  # zoneinfo's paths


def _writes(args: tuple[Any, ...]) -> bool:
    mode, flags = args[1], args[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def main(kind_name: str, folder: str, seconds: float, seed: int, engine: str) -> None:
    """Run one turn."""
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    with open(os.path.join(folder, "counters"), "r+b") as file:
        counters = Counters(mmap.mmap(file.fileno(), 0))
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["weightlift"], enable_loader_override=False):
            from .kinds import KINDS
    else:
        from .kinds import KINDS
    from .mutators.pickle_opcodes import ops_of
    from .seeds import read

    turn = Turn(KINDS[kind_name], folder, counters)
    seeds = read(os.path.join(folder, "seeds"), kind_name)
    pickles = [*read(os.path.join(folder, "seeds"), "pickle"), *read(os.path.join(folder, "seeds"), "torch_pickle")]
    others = tuple(found[0] for data in pickles if (found := ops_of(data)))
    for data in seeds:  # what is loaded on the way of any file is loaded by then
        turn.target(data)
    if engine == "atheris":
        _by_atheris(turn, seeds, others, folder, seconds, seed)
    else:
        _by_outcomes(turn, seeds, others, folder, seconds, seed)


def _by_atheris(turn: Turn, seeds: list[bytes], others: Any, folder: str, seconds: float, seed: int) -> None:
    import atheris

    def mutate(data: bytes, most: int, number: int) -> bytes:
        rng = random.Random(number)
        return turn.kind.change(bytes(data) if len(data) > 2 else rng.choice(seeds), rng, others)[:most]

    corpus = os.path.join(folder, "corpus", turn.kind.name)
    os.makedirs(corpus, exist_ok=True)
    options = [f"-max_total_time={int(seconds)}", f"-seed={seed}", f"-max_len={_LONGEST}", "-len_control=0", "-reload=0",
               "-rss_limit_mb=0", "-verbosity=0", "-print_final_stats=0", "-timeout=600"]  # fmt: skip
    atheris.Setup(
        [sys.argv[0], *options, corpus, os.path.join(folder, "seeds", turn.kind.name)],
        lambda data: turn.run(data) and None,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def _by_outcomes(turn: Turn, seeds: list[bytes], others: Any, folder: str, seconds: float, seed: int) -> None:
    """Own guidance, light: what makes errors where none were made yet is kept and changed further."""
    from .guidance import Outcomes

    rng = random.Random(seed)
    corpus = os.path.join(folder, "corpus", turn.kind.name)
    os.makedirs(corpus, exist_ok=True)
    kept = Outcomes(seeds, corpus, rng)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = turn.kind.change(kept.choose(rng), rng, others)[:_LONGEST]
        with kept.noticing(data):
            turn.run(data)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
