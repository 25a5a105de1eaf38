"""The plan of equal names: what `load` uses where no plan is given. Wrappers' prefixes are recognised and said.

It never renames: names that do not meet are problems, with the rule lines that would settle them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from itertools import accumulate, takewhile

from ..blocks import compress
from ..errors import PlanError
from ..patterns import as_pattern, pattern
from ..tensors.computed import Lazy
from ..typed import Literal
from ..values import dataclass
from .plan import Plan
from .resolve import Schema

TRANSPARENT = ("module", "_orig_mod")
"""What DataParallel and torch.compile put before every name."""
WRAPPERS = (*TRANSPARENT, "model", "state_dict", "net")
"""The same, and what training wrappers call the model; one inside another in any order, `model._orig_mod.`."""
_DEEPEST, _MOST_PREFIXES = 3, 8

Excused = Literal["error"] | Iterable[str]


@dataclass(frozen=True, slots=True)
class ExactPlan:
    """A plan, what was recognised in making it, and lines that would settle what is left open."""

    plan: Plan
    notes: tuple[str, ...]
    suggestions: tuple[str, ...]


def exact_plan(
    source: Mapping[str, Lazy],
    target: Schema,
    ties: Iterable[Sequence[str]] = (),
    *,
    missing: Excused = "error",
    unexpected: Excused = "error",
    mismatch: Excused = "error",
    beside: Iterable[str] = (),
) -> ExactPlan:
    """Return the plan that joins equal names.

    `ties` are groups of target names that are one tensor: one that is there makes the others.
    `missing`, `unexpected` and `mismatch` excuse names by patterns; `beside` are source names of what is
    no tensor.

    Raises:
        PlanError: what excuses names is neither "error" nor patterns.
    """
    may_miss, may_be_new = _patterns("missing", missing), _patterns("unexpected", unexpected)
    may_misfit = _patterns("mismatch", mismatch)
    for word, texts, names in (
        ("missing", may_miss, list(target)),
        ("unexpected", may_be_new, [*source, *beside]),
        ("mismatch", may_misfit, list(target)),
    ):
        _fit_something(word, texts, names)
    strip, add = _prefixes(source, target)
    to = {key: add + key.removeprefix(strip) for key in source if key.startswith(strip)}
    both = {key: name for key, name in to.items() if name in target}
    misfits = {k: n for k, n in both.items() if target[n][0] not in (None, tuple(source[k].shape))}
    excused = {k: n for k, n in misfits.items() if _is_excused(n, may_misfit)}
    made = {name: key for key, name in both.items() if key not in misfits}
    groups = list(_first_made(ties, made))
    tied = {name: made[first] for first, names in groups for name in names if name not in both.values()}
    left = [key for key in source if key not in both]
    absent = [name for name in target if name not in both.values() and name not in tied]
    dropped = [key for key in left if _is_excused(key, may_be_new)]
    kept = [name for name in absent if _is_excused(name, may_miss)]
    lines = [f'{row} -> drop "excused by unexpected="' for row in _templates(dropped)]
    lines += [f'{row} -> drop "excused by mismatch="' for row in _templates(excused)]
    lines += [f"{as_pattern(key)} => {as_pattern(name)} : tie" for name, key in tied.items()]
    lines += [f'init -> {row} "excused by missing="' for row in _templates(kept)]
    lines += [f'init -> {row} "excused by mismatch="' for row in _templates(excused.values())]
    plan = [*_joined(strip, add, [*left, *excused], both.keys() - excused.keys()), *lines]
    torn = {key: made[first] for first, names in groups for key in _torn(source, made, first, names)}
    settled = [*_joined(strip, add, [*left, *misfits, *torn], both.keys() - misfits.keys()), *lines]
    for key, kept_key in torn.items():
        row, kept_row = as_pattern(key), as_pattern(kept_key)
        settled += [f'{row} -> drop "one tensor with {kept_row}, why?"', f"{kept_row} => {as_pattern(both[key])} : tie"]
    settled += [line for key, name in misfits.items() if key not in excused for line in _replaced(key, name)]
    settled += _suggest(source, target, [k for k in left if k not in dropped], [n for n in absent if n not in kept])
    notes = []
    if strip:
        notes.append(f"the source's names begin with {strip!r}, which is left out")
    if add:
        notes.append(f"the target's names begin with {add!r}, which is put before the source's")
    notes += [f"{name!r} is the same tensor in the target as what {key!r} makes" for name, key in tied.items()]
    return ExactPlan(Plan.of("\n".join(plan) or "# nothing fits"), tuple(notes), tuple(settled))


def _patterns(word: str, excused: Excused) -> tuple[str, ...]:
    if excused == "error":
        return ()
    if isinstance(excused, str):
        raise PlanError(f"{word}={excused!r}", expected=f'"error", or a list of patterns such as [{excused!r}]')
    return tuple(excused)


def _fit_something(word: str, texts: tuple[str, ...], names: list[str]) -> None:
    """Refuse to excuse what is not there: it is a slip of the pen."""
    for text in texts:
        if not any(pattern(text).match(name) is not None for name in names):
            near = get_close_matches(text, names[:5000], n=2, cutoff=0.6)
            remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise PlanError(f"{word}={[text]!r} fits no name", remedy=remedy)


def _torn(source: Mapping[str, Lazy], made: Mapping[str, str], first: str, names: Sequence[str]) -> list[str]:
    """Sources that would make the tensor of a group anew, of other values as far as is known."""
    keys = [made[name] for name in names if name in made]
    return [key for key in keys if source[key].view != source[made[first]].view]


def _first_made(ties: Iterable[Sequence[str]], made: Mapping[str, str]) -> Iterable[tuple[str, Sequence[str]]]:
    """For each group of names that are one tensor: the first that is made, and all of them."""
    for group in ties:
        first = next((name for name in group if name in made), None)
        if first is not None:
            yield first, group


def _joined(strip: str, add: str, apart: Iterable[str], joined: Iterable[str]) -> list[str]:
    """The line that joins equal names, where there are any."""
    excepts = [f"except {row}" for row in _templates(key for key in apart if key.startswith(strip))]
    return [" ".join([f"{strip}** -> {add}**", *excepts])] if any(True for _ in joined) else []


def _replaced(key: str, name: str) -> tuple[str, str]:
    return f'{as_pattern(key)} -> drop "another shape, why?"', f'init -> {as_pattern(name)} "another shape, why?"'


def _prefixes(source: Mapping[str, Lazy], target: Schema) -> tuple[str, str]:
    """Return (prefix to leave out, prefix to add) under which most names meet; none where that is as good."""
    names = set(target)
    best, most = ("", ""), sum(key in names for key in source)
    pairs = [(strip, add) for strip in _wrapped(source) for add in _wrapped(target) if _is_wrapping(strip, add)]
    for strip, add in sorted(pairs, key=lambda pair: sum(prefix.count(".") for prefix in pair)):
        met = sum(add + key.removeprefix(strip) in names for key in source if key.startswith(strip))
        if met > most:
            best, most = (strip, add), met
    return best


def _wrapped(names: Iterable[str]) -> list[str]:
    """Return the wrappers' prefixes that names have, the most frequent ones, and none first."""
    found: Counter[str] = Counter()
    for name in names:
        words = takewhile(WRAPPERS.__contains__, name.split(".", _DEEPEST)[:-1])
        found.update(accumulate(f"{word}." for word in words))
    return ["", *(prefix for prefix, _ in found.most_common(_MOST_PREFIXES))]


def _is_wrapping(strip: str, add: str) -> bool:
    """`net.` beside `model.` are two names for a model, not two wrappers of one: a rename, which is not made here."""
    one, other = ([word for word in prefix.split(".")[:-1] if word not in TRANSPARENT] for prefix in (strip, add))
    return not one or not other or one == other


def _is_excused(name: str, excused: Iterable[str]) -> bool:
    return any(pattern(text).match(name) is not None for text in excused)


def _templates(names: Iterable[str]) -> list[str]:
    return [row.template for row in compress((as_pattern(name), None) for name in names)]


def _suggest(source: Mapping[str, Lazy], target: Schema, left: list[str], absent: list[str]) -> Iterable[str]:
    """Rule lines to paste: renames where shape and name are close, else drop and init, each to be judged."""
    renames: dict[str, str] = {}
    shapes = [target[name][0] for name in absent]
    for name in absent:
        alike = [key for key in left if tuple(source[key].shape) == target[name][0]]
        if len(alike) == 1 and shapes.count(target[name][0]) == 1:
            yield f"{as_pattern(alike[0])} -> {as_pattern(name)}    # the only ones of this shape"
            left, absent = [k for k in left if k != alike[0]], [n for n in absent if n != name]
    for name in absent:
        alike = [key for key in left if key not in renames and tuple(source[key].shape) == target[name][0]]
        scored = sorted(((SequenceMatcher(None, key, name).ratio(), key) for key in alike[:200]), reverse=True)
        if scored and scored[0][0] >= 0.6:
            renames[scored[0][1]] = name
    for row in compress((f"{as_pattern(key)} -> {as_pattern(name)}", None) for key, name in renames.items()):
        yield f"{row.template}    # same shape, similar name"
    for unused in _templates(key for key in left if key not in renames):
        yield f'{unused} -> drop "why?"'
    for new in _templates(name for name in absent if name not in renames.values()):
        yield f'init -> {new} "why?"'
