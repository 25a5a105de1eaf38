"""A rule, read from its module: the docstring is its page, the constants say what it looks at."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from ..errors import WeightliftError
from ..typed import TYPE_CHECKING, Any
from ..values import dataclass
from .table import BROKEN_FILE, RULES
from .values import Found, Grade, Settings

if TYPE_CHECKING:
    from .source_file import SourceFile

Check = Callable[[Any, "SourceFile"], Iterable[Found] | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Looked at are files with one of `words`, all of `every`, what `pattern` matches and one of `calls`.

    What a rule does not name it does not ask for. `calls` are functions by their full names (`torch.load`); a file that
    can call one of them under another name is looked at too.
    """

    code: str
    name: str
    summary: str
    page: str
    nodes: tuple[type[ast.AST], ...]
    words: tuple[bytes, ...]
    every: tuple[bytes, ...]
    calls: tuple[str, ...]
    pattern: bytes | None
    check: Check
    grade: Grade | None
    on_by_default: bool
    wanted: Callable[[Settings], bool]


def rule(code: str) -> Rule:
    """Return one rule by its code or its name.

    Raises:
        WeightliftError: There is no such rule; the nearest are named.
    """
    if code.upper() in RULES:
        return _read(code.upper())
    for known, module in RULES.items():
        if module == code.replace("-", "_"):
            return _read(known)
    raise WeightliftError(f"no rule {code!r}", expected=_nearest(code))


def chosen(settings: Settings) -> list[Rule]:
    """Return the rules that a run asks for: selected or on by default, and not ignored.

    Raises:
        WeightliftError: A code that begins no rule's is selected or ignored.
    """
    for given in (*settings.select, *settings.ignore):
        if not BROKEN_FILE.startswith(given) and not matches_any(given, RULES):
            raise WeightliftError(f"no rule {given!r}", expected=_nearest(given))
    wanted = []
    for code in RULES:
        if code.startswith(settings.ignore) or (settings.select and not code.startswith(settings.select)):
            continue
        one = _read(code)
        if (one.on_by_default or settings.select) and one.wanted(settings):
            wanted.append(one)
    return wanted


def matches_any(given: str, codes: Iterable[str]) -> bool:
    """Whether a code, or the beginning of one, is that of any of these."""
    return bool(given) and any(code.startswith(given) for code in codes)


def _read(code: str) -> Rule:
    module = import_module(f".rules.{RULES[code]}", __package__)
    page = (module.__doc__ or "").strip()
    name, _, summary = page.partition("\n")[0].partition(": ")
    return Rule(
        code=code,
        name=name,
        summary=summary.rstrip("."),
        page=page,
        nodes=module.NODES,
        words=getattr(module, "WORDS", ()),
        every=getattr(module, "EVERY", ()),
        calls=getattr(module, "CALLS", ()),
        pattern=getattr(module, "PATTERN", None),
        check=module.check,
        grade=getattr(module, "GRADE", None),
        on_by_default=getattr(module, "ON_BY_DEFAULT", True),
        wanted=getattr(module, "wanted", _always),
    )


def _always(settings: Settings) -> bool:  # noqa: ARG001 - what rules may ask by
    return True


def _nearest(given: str) -> str:
    from difflib import get_close_matches

    names: Sequence[str] = [*RULES, *(module.replace("_", "-") for module in RULES.values())]
    near = get_close_matches(given, names, n=3, cutoff=0.4) or list(RULES)[:3]
    return f"one of {len(RULES)} rules, such as {', '.join(near)}"
