"""A scan over several processes, of which any may die.

Each worker is a fresh interpreter that is handed one path after another through a pipe and answers in
order; both ways speak JSON, a line each, so that nothing here unpickles anything. A worker that ends has
died of the first file that it has not answered: that file is unreadable, another worker takes the others.

The interpreter is started isolated (`-I`): it imports nothing from the current folder, which may be the
very folder that is scanned. It takes this package from where it lies here, and nothing else from there.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
from collections import deque

from ..limits import Limits
from ..scans.values import Evidence, Scanned
from ..typed import TYPE_CHECKING, Any
from .scan_file import scan_file, unreadable
from .scan_targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

_WORK = """
import sys
sys.path.insert(0, sys.argv[1])
import weightlift
del sys.path[0]
from weightlift.actions.scan_workers import work
work()
"""
_READY = b"ready"
_MOST_WAITING = 16
_MOST_WAITING_BYTES = 32_768
"""Handed to a worker ahead of its answers: less than a pipe holds, so that neither side ever waits for the other."""


def worker_command() -> list[str]:
    """Return how a worker is started."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [sys.executable, "-I", "-c", _WORK, os.path.dirname(package)]


def scan_in_processes(
    waiting: dict[int, Target],
    jobs: int,
    *,
    limits: Limits,
    deep: bool,
    progress: Callable[[int, int], None] | None,
) -> dict[int, Scanned | None]:
    """Return the verdicts on the targets by their numbers; fewer than all where no worker can be started."""
    pool = _Pool(waiting, limits, deep=deep)
    try:
        for _ in range(jobs):
            pool.start()
        while pool.workers:
            pool.step()
            if progress:
                progress(len(pool.verdicts), len(waiting))
    finally:
        pool.end()
    return pool.verdicts


def work() -> None:
    """Be a worker: answer every line of the standard input until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started this, which then ends it
    requests = os.fdopen(0, "rb")
    setting = json.loads(requests.readline())
    limits = Limits(**setting["limits"])
    _write(1, _READY)
    for line in requests:
        path, asked = json.loads(line)
        found = scan_file(path, asked=asked, limits=limits, deep=setting["deep"])
        _write(1, json.dumps(None if found is None else _to_json(found)).encode())


class _Worker:
    """One process: its pipes and the numbers of the files that it has not answered, with the length of each request."""

    def __init__(self) -> None:
        child_in, self.requests = os.pipe()
        self.answers, child_out = os.pipe()
        ends = [(os.POSIX_SPAWN_DUP2, child_in, 0), (os.POSIX_SPAWN_DUP2, child_out, 1)]
        command = worker_command()
        try:
            self.pid = os.posix_spawn(command[0], command, os.environ, file_actions=ends)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(child_in)
            os.close(child_out)
        self.unanswered: deque[tuple[int, int]] = deque()
        self.received = b""
        self.is_ready = False

    def close(self) -> None:
        """Close the pipes; a worker that is idle ends by that."""
        os.close(self.requests)
        os.close(self.answers)


class _Pool:
    """Workers, what is still to be handed out, and the verdicts so far."""

    def __init__(self, waiting: dict[int, Target], limits: Limits, *, deep: bool) -> None:
        self.targets = waiting
        self.queue = deque(waiting)
        self.verdicts: dict[int, Scanned | None] = {}
        self.workers: set[_Worker] = set()
        self.selector = selectors.DefaultSelector()
        values = {name: getattr(limits, name) for name in limits.__match_args__}
        self.setting = json.dumps({"limits": values, "deep": deep}).encode()

    def start(self) -> None:
        """Start one more worker, where the system lets us; what no worker takes is scanned by the caller."""
        try:
            worker = _Worker()
        except (OSError, TypeError):  # no more processes, or no interpreter to be found
            return
        self.workers.add(worker)
        self.selector.register(worker.answers, selectors.EVENT_READ, worker)
        self._send(worker, self.setting)

    def step(self) -> None:
        """Wait for answers, take them, and hand out more."""
        for key, _ in self.selector.select():
            worker: _Worker = key.data
            data = os.read(worker.answers, 1 << 16)
            if not data:
                self._bury(worker)
                continue
            *lines, worker.received = (worker.received + data).split(b"\n")
            for line in lines:
                if not worker.is_ready:
                    worker.is_ready = True
                    continue
                number, _ = worker.unanswered.popleft()
                self.verdicts[number] = _from_json(json.loads(line))
            self._hand_out(worker)

    def _hand_out(self, worker: _Worker) -> None:
        ahead = sum(nbytes for _, nbytes in worker.unanswered)
        while self.queue and len(worker.unanswered) < _MOST_WAITING and ahead < _MOST_WAITING_BYTES:
            number = self.queue.popleft()
            target = self.targets[number]
            request = json.dumps([target.path, target.asked]).encode()
            worker.unanswered.append((number, len(request)))
            ahead += len(request)
            if not self._send(worker, request):
                return
        if not worker.unanswered:
            self._retire(worker)

    def _send(self, worker: _Worker, line: bytes) -> bool:
        try:
            _write(worker.requests, line)
        except BrokenPipeError:  # it is dead, as its answers will say
            return False
        return True

    def _bury(self, worker: _Worker) -> None:
        """Judge the file that a worker died of, give the others back, and start another in its place."""
        status = self._retire(worker)
        if not worker.is_ready:  # it is no worker at all
            return
        if worker.unanswered:
            number, _ = worker.unanswered.popleft()
            self.verdicts[number] = unreadable(self.targets[number].path, "killed", _told(status))
            self.queue.extendleft(number for number, _ in reversed(worker.unanswered))
        if self.queue:
            self.start()

    def _retire(self, worker: _Worker) -> int:
        self.workers.discard(worker)
        self.selector.unregister(worker.answers)
        worker.close()
        return os.waitpid(worker.pid, 0)[1]

    def end(self) -> None:
        """End what still runs, after an error or Ctrl-C."""
        for worker in list(self.workers):
            os.kill(worker.pid, signal.SIGKILL)
            self._retire(worker)
        self.selector.close()


def _write(descriptor: int, line: bytes) -> None:
    left = memoryview(line + b"\n")
    while left:
        left = left[os.write(descriptor, left) :]


def _told(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    return f"the process that read it {how}; perhaps it takes more memory than there is"


def _to_json(found: Scanned) -> list[Any]:
    evidence = [[getattr(each, name) for name in Evidence.__match_args__] for each in found.evidence]
    return [evidence if name == "evidence" else getattr(found, name) for name in Scanned.__match_args__]


def _from_json(values: list[Any] | None) -> Scanned | None:
    if values is None:
        return None
    named = dict(zip(Scanned.__match_args__, values, strict=True))
    named["evidence"] = tuple(Evidence(*each) for each in named["evidence"])
    return Scanned(**named)
