"""An opened checkpoint: its inert tree, what was noticed, and every state dict in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from .errors import AmbiguousStateDictError, NoStateDictError, plural
from .findings import Finding
from .limits import DEFAULT_LIMITS, Limits
from .paths import Path
from .pickles import Global, Object
from .sources import Source
from .tree import walk
from .typed import TYPE_CHECKING, Any
from .values import cached_property

if TYPE_CHECKING:
    from .selection import Candidate
    from .state_dict import StateDict

ModuleReader = Callable[[Object, str], "StateDict | None"]
Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all)."""
Verifier = Callable[["Checkpoint", Progress | None], list[Finding]]


class Checkpoint:
    """What a file holds. Nothing of it was run; tensors are lazy.

    `format` is the container by name ("torch-zip", "torch-legacy", "safetensors" ...), `details` the
    container's own facts, `own_findings` what its format noticed, `globals` what the file's pickles
    would import, with the place of each.
    """

    def __init__(
        self,
        tree: Any,
        *,
        format: str,
        source: Source,
        details: Mapping[str, Any] | None = None,
        globals: Mapping[Global, int] | None = None,
        findings: tuple[Finding, ...] = (),
        limits: Limits = DEFAULT_LIMITS,
        module_reader: ModuleReader | None = None,
    ) -> None:
        self.tree = tree
        self.format = format
        self.source = source
        self.details: dict[str, Any] = dict(details or {})
        self.globals: dict[Global, int] = dict(globals or {})
        self.limits = limits
        self.own_findings = findings
        self.module_reader = module_reader
        self.verifier: Verifier | None = None
        self.members: dict[str, Checkpoint] = {}  # that it is made of: those of an archive, the shards of an index

    def walk(self) -> Iterator[tuple[Path, Any]]:
        """Yield (path, value) for everything in the tree, each shared value once."""
        return walk(self.tree, limits=self.limits)

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Every state dict found anywhere in the tree, with what is known about it."""
        from .selection import find_candidates  # a scan asks for no state dicts

        return find_candidates(self.tree, self.limits, self.module_reader)

    @cached_property
    def state_dicts(self) -> dict[str, StateDict]:
        """Every state dict in the file by its path; the root's own is called ""."""
        return {candidate.name: candidate.state_dict for candidate in self.candidates}

    @cached_property
    def findings(self) -> list[Finding]:
        """What is worth telling about the file."""
        from .selection import choose

        out = list(self.own_findings)
        for candidate in self.candidates:
            out += [Finding("class-code", "note", candidate.name, note) for note in candidate.state_dict.notes]
        chosen, others = choose(self.candidates)
        if chosen and others:
            left = ", ".join(repr(other.name) for other in others[:6]) + (" ..." if len(others) > 6 else "")
            out.append(
                Finding("chosen", "note", chosen.name, f"{chosen.name!r} is plainly the weights; also here: {left}")
            )
        return out

    def verify(self, progress: Progress | None = None) -> list[Finding]:
        """Read every byte of the file once, in bounded memory, and return what is wrong with it; [] where nothing is.

        Held against what the format has: the CRC of every member of a zip, its local headers, its data descriptors;
        the hashes of a checkpoint directory's manifest. A finding names the member and the tensors that lie in it.
        What has no checksums (safetensors, a legacy stream) can only be read through, and one "info" says so.

        `progress` is called with (bytes read, bytes in all).
        """
        return self.verifier(self, progress) if self.verifier is not None else []

    def state_dict(self, name: str | None = None) -> StateDict:
        """Return the state dict of that name, or without one, the one that is plainly the weights.

        Raises:
            NoStateDictError: there is none, or none of that name.
            AmbiguousStateDictError: there are several; the message lists them.
        """
        from .selection import choose

        if name is not None:
            if name in self.state_dicts:
                return self.state_dicts[name]
            known = ", ".join(repr(n) for n in list(self.state_dicts)[:20]) or "none"
            raise NoStateDictError(
                f"no state dict {name!r}",
                expected=f"one of: {known}",
                remedy=_nearest(name, list(self.state_dicts)),
                where=self.source.name,
            )
        chosen, _ = choose(self.candidates)
        if chosen is not None:
            return chosen.state_dict
        if not self.candidates:
            raise NoStateDictError(
                f"no state dict in this {self.format} file",
                expected="a module or a dict of tensors somewhere in it",
                remedy="see what is inside with: weightlift inspect",
                where=self.source.name,
            )
        rows = "; ".join(
            f"{c.name!r} ({plural(len(c.state_dict), 'entry', 'entries')}, {c.state_dict.nbytes:,} bytes)"
            for c in self.candidates[:20]
        )
        more = f"; and {len(self.candidates) - 20} more" if len(self.candidates) > 20 else ""
        raise AmbiguousStateDictError(
            f"{plural(len(self.candidates), 'state dict')} and none is plainly the weights: {rows}{more}",
            remedy=f"choose one: --name {self.candidates[0].name!r}, or state_dict({self.candidates[0].name!r})",
            where=self.source.name,
        )

    def __repr__(self) -> str:
        names = ", ".join(repr(name) for name in self.state_dicts)
        return f"<Checkpoint {self.source.name!r} ({self.format}): state dicts {names or 'none'}>"


def _nearest(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    return f"did you mean {near[0]!r}?" if (near := get_close_matches(name, names, 1)) else ""
