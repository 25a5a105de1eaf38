"""What a scan has gathered so far of one file, and what it may still spend on it."""

from __future__ import annotations

from ..errors import LimitError, UnsupportedError, WeightliftError
from ..formats import Probe
from ..limits import Limits
from ..pickles import Global
from ..pickles.noticing import SeenPickles
from ..values import replace
from .values import Evidence, Verdict, worst

_SEARCHED = 2_000_000  # opcodes for looking into bytes that need not be pickles
MOST_PICKLES = 10_000
_MOST_EVIDENCE = 1_000
_OF_SEVERITY: dict[str, Verdict] = {"danger": "dangerous", "warning": "unknown", "note": "clean", "info": "clean"}


class Gathered:
    """Evidence, counts and budgets of one file. `deep` asks to look into tensor bytes as well."""

    def __init__(self, limits: Limits, *, deep: bool) -> None:
        self.limits = limits
        self.deep = deep
        self.evidence: list[Evidence] = []
        self.verdicts: set[Verdict] = set()
        self.judged: set[Global] = set()
        self.pickles = 0
        self.pickle_nbytes = 0
        self.depth = 0
        self.in_script = False  # whether what is looked at are a TorchScript archive's own pickles
        self.inside = 0  # of how many pickles what is looked at is a part, whose bytes are counted already
        self.opcodes_left = limits.opcodes
        self.search_left = min(_SEARCHED, limits.opcodes)
        self.storages: set[str] = set()
        self.keys: set[tuple[str, ...]] = set()
        self.probe: Probe | None = None
        self.seen = SeenPickles()
        self.own_format = ""  # of a whole file of a kind that only a scan looks into

    def add(self, evidence: Evidence, verdict: Verdict | None = None) -> None:
        """Keep a piece of evidence; without a verdict, its severity says what it means for the file."""
        self.verdicts.add(verdict or _OF_SEVERITY[evidence.severity])
        key = evidence.code, evidence.where, evidence.message, evidence.call
        if key not in self.keys and (len(self.evidence) < _MOST_EVIDENCE or evidence.severity == "danger"):
            self.keys.add(key)
            self.evidence.append(evidence)

    def note(self, code: str, where: str, message: str, offset: int | None = None) -> None:
        """Keep something that is worth telling and changes no verdict."""
        self.add(Evidence(code, "note", where, message, offset))

    def unreadable(self, code: str, where: str, message: str, offset: int | None = None) -> None:
        """Keep why a part of the file could not be looked into."""
        self.add(Evidence(code, "warning", where, message, offset), "unreadable")

    def failed(self, error: WeightliftError, where: str) -> None:
        """Keep an error that hides a part of the file."""
        self.unreadable(code_of(error), where, str(error))

    @property
    def verdict(self) -> Verdict:
        """The worst of what was found."""
        return worst(self.verdicts)

    def limits_left(self) -> Limits:
        """Return the limits with the opcodes that are left of the file's budget."""
        return replace(self.limits, opcodes=max(0, self.opcodes_left))

    def count(self, opcodes: int, nbytes: int) -> None:
        """Count one more pickle."""
        self.pickles += 1
        self.pickle_nbytes += 0 if self.inside else nbytes
        self.opcodes_left -= opcodes

    @property
    def is_spent(self) -> bool:
        """Whether no more pickles may be looked at."""
        return self.pickles >= MOST_PICKLES or self.opcodes_left <= 0


def code_of(error: WeightliftError) -> str:
    """Return the code that stands for an error of the reader."""
    if isinstance(error, LimitError):
        return "limit"
    return "unsupported" if isinstance(error, UnsupportedError) else "malformed"
