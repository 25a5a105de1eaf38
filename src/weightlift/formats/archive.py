"""A zip or tar that holds several checkpoints: each member is opened as what it is.

stable-baselines3 saves its policy and optimizer this way, NeMo its weights in a tar. The tree is a
dict from member name to what the member holds; members that are no checkpoints are listed only.
"""

from __future__ import annotations

from ..checkpoint import Checkpoint, ModuleReader
from ..containers.tar import looks_like_tar, read_tar, tar_findings
from ..errors import LimitError, MalformedError, UnknownFormatError, UnsupportedError, WeightliftError, plural
from ..findings import Finding
from ..pickles import Global, Object
from ..sources import Source
from ..state_dict import StateDict
from ..tree import walk
from ..typed import Any
from .base import Format, Opening, Probe


def is_tar(probe: Probe) -> bool:
    """Whether the first header is that of a tar."""
    return looks_like_tar(probe.head)


def _recognises(probe: Probe) -> bool:
    return probe.zip is not None or is_tar(probe)


def _members(probe: Probe, opening: Opening) -> dict[str, Source]:
    if probe.zip is None:
        return read_tar(probe.source, opening.limits)
    encrypted = [name for name, member in probe.zip.members.items() if member.flags & 1]
    if encrypted:
        raise UnsupportedError(
            f"a zip with a password ({encrypted[0]!r} is encrypted)", remedy="decrypt it first, for instance with unzip"
        )
    return {name: probe.zip.open(name) for name in probe.zip.names() if not name.endswith("/")}


def _open(probe: Probe, opening: Opening) -> Checkpoint:
    from .registry import open_source

    inner = opening.within()
    tree: dict[str, Any] = {}
    others: dict[str, int] = {}
    findings: list[Finding] = [] if probe.zip is not None else [*tar_findings(probe.source, opening.limits)]
    found: dict[Global, int] = {}
    members: dict[str, Checkpoint] = {}
    readers: dict[int, ModuleReader] = {}  # by the identity of an object: the reader of its own member
    for name, source in _members(probe, opening).items():
        if source.size == 0:
            others[name] = 0
            continue
        try:
            member = open_source(source, inner)
        except LimitError:
            raise
        except (UnknownFormatError, UnsupportedError):
            others[name] = source.size
            continue
        except WeightliftError as error:
            findings.append(Finding("unreadable-member", "warning", name, str(error)))
            others[name] = source.size
            continue
        tree[name] = member.tree
        members[name] = member
        found |= member.globals
        findings += [
            Finding(f.code, f.severity, f"{name}/{f.where}".rstrip("/"), f.message) for f in member.own_findings
        ]
        if member.module_reader is not None:
            held = walk(member.tree, limits=inner.limits, leaves=False)
            readers |= {id(v): member.module_reader for _, v in held if isinstance(v, Object)}
    broken = [finding.message for finding in findings if finding.code == "unreadable-member"]
    if not tree and broken:
        raise MalformedError(f"an archive without a readable checkpoint: {broken[0]}")
    if not tree:
        raise UnknownFormatError(
            f"an archive of {plural(len(others), 'file')}, none a checkpoint", expected="a checkpoint in it"
        )

    def module_reader(value: Object, name: str) -> StateDict | None:
        reader = readers.get(id(value))
        return reader(value, name) if reader is not None else None

    made = Checkpoint(
        tree,
        format="archive",
        source=probe.source,
        details={"members": list(tree), "other_members": others},
        globals=found,
        findings=tuple(findings),
        limits=opening.limits,
        module_reader=module_reader if readers else None,
    )
    made.members = members
    return made


FORMAT = Format("archive", _recognises, _open)
