"""A plan: one TOML document with rules, as a value that is parsed once and saved as it was written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from ..errors import PlanError
from ..tensors.torch_modules import ModuleTarget
from ..typed import TYPE_CHECKING, Any
from ..values import dataclass
from .document import first_lines, quoted
from .report import Report, report_of
from .resolve import Problem, Resolution, resolve
from .rules import Rule, parse_rule
from .schema import entries_of, headers, schema_hash, schema_of

if TYPE_CHECKING:
    from ..state_dict import StateDict
    from .optimizer_report import OptimizerReport
    from .verification import Verification

VERSION = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Where every weight goes. `text` is the document itself: comments and order survive loading and saving.

    >>> plan = Plan.of("old.{t} -> new.{t}")
    >>> len(plan.rules)
    1
    """

    text: str
    rules: tuple[Rule, ...]
    dims: Mapping[str, int]
    schemas: Mapping[str, str]
    """"source" and "target" -> the schema hash that the plan was written for, where it says."""

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Return the plan of a document.

        Raises:
            PlanError: no TOML, or fields that a plan does not have.
            PatternError: a rule that means nothing, with its line, column and a caret.
        """
        import tomllib  # takes as long as all other modules of a plan together

        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise PlanError(f"no TOML: {error}", expected="a plan file") from None
        if document.get("plan") != VERSION:
            raise PlanError(f"plan = {document.get('plan')!r}", expected=f"plan = {VERSION}")
        unknown = set(document) - {"plan", "source", "target", "dims", "block"}
        if unknown:
            raise PlanError(f"{', '.join(sorted(unknown))} in the plan", expected="source, target, dims and [[block]]")
        dims = _dims(document.get("dims", {}))
        lines = first_lines(text)
        rules: list[Rule] = []
        blocks = document.get("block", [])
        if not isinstance(blocks, list):
            raise PlanError(f"block = {blocks!r:.60}", expected="[[block]] with rules")
        for side in ("source", "target"):
            about = document.get(side, {})
            if not isinstance(about, dict) or not isinstance(about.get("schema", ""), str):
                raise PlanError(f"{side} = {about!r:.60}", expected=f"[{side}] with a schema")
        for i, block in enumerate(blocks):
            rules += _block(block, dims, lines[i] if len(lines) == len(blocks) else 1)
        schemas = {
            side: document[side]["schema"] for side in ("source", "target") if "schema" in document.get(side, {})
        }
        return cls(text, tuple(rules), dims, schemas)

    @classmethod
    def of(cls, rules: str, *, dims: Mapping[str, int] | None = None) -> Plan:
        """Return a plan of rule lines alone.

        Raises:
            PatternError: a rule that means nothing, with its line, column and a caret.
        """
        sizes = _dims(dims or {})
        middle = "\n".join(["", "[dims]", *(f"{name} = {size}" for name, size in sizes.items()), ""]) if sizes else ""
        lines = rules.strip("\n")
        head = f"plan = {VERSION}\n{middle}\n[[block]]\nrules = "
        text = f"{head}{quoted(lines)}\n"
        return cls(text, tuple(_block({"rules": lines}, sizes, head.count("\n") + 2)), sizes, {})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Return the plan in a file; its errors name the file."""
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"cannot be read: {error}", where=os.fspath(path)) from None
        try:
            return cls.parse(text)
        except PlanError as error:
            error.at(os.fspath(path))
            raise

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document as it is; nothing is left behind after an error."""
        from ..writers import atomic_file
        from ..writers.copying import write_all

        with atomic_file(path) as fd:
            write_all(fd, self.text.encode("utf-8"))

    def check(self, source: Mapping[str, Any], target: Any = None, ties: Iterable[Sequence[str]] = ()) -> Resolution:
        """Return what the plan makes of a state dict, with every problem. Reads headers only.

        `target` is a live module, a state dict, or names with (shape, dtype); without one, what the rules
        make is taken for all of it. `ties` are groups of target names that are one and the same tensor, in
        addition to those that the target knows of.
        """
        weights = entries_of(source)
        schema, known = schema_of(target)
        out = resolve(self.rules, weights, schema, (*known, *ties))
        for side, found in (("source", headers(weights)), ("target", schema)):
            written = self.schemas.get(side)
            if written is not None and found is not None and written != schema_hash(found):
                out.problems.insert(0, Problem("other-schema", 0, f"the plan was written for another {side}"))
        return out

    def invert(self, source: Mapping[str, Any], target: Any = None, ties: Iterable[Sequence[str]] = ()) -> Plan:
        """Return the plan that undoes this one on these tensors; `target` and `ties` as for `check`.

        Raises:
            PlanProblems: the exact list of what has no inverse.
            PlanError: a dimension is named like a side of the plan.
        """
        from .invert import inverted

        back = Plan.parse(inverted(self.text, self.rules, self.check(source, target, ties)))
        if back.dims != self.dims:
            raise PlanError("dims named source or target", expected="other names, to swap the sides of the plan")
        return back

    def compose(self, other: Plan, source: Mapping[str, Any]) -> Plan:
        """Return the plan that does this one and then the other in one pass, on these tensors.

        Raises:
            PlanProblems: the exact list of what one pass of rules cannot say.
        """
        from .compose import check_composed, composed

        first = self.check(source)
        first.raise_problems()
        second = other.check({key: made.value for key, made in first.made.items()})
        second.raise_problems()
        both = Plan.of(composed((self.rules, first), (other.rules, second)))
        check_composed(both.check(source), first, second)
        return both

    def apply(self, target: Any, source: Mapping[str, Any], *, assign: bool = False) -> Report:
        """Carry the plan out into a live module or a path; all of it or nothing.

        Raises:
            PlanProblems: every problem that the headers show, before anything is read.
        """
        from . import apply

        weights = entries_of(source)
        if isinstance(target, str | os.PathLike):
            resolution = self.check(weights)
            apply.apply_to_file(resolution, target)
            return report_of(resolution, weights, None)
        module = ModuleTarget(target)
        resolution = self.check(weights, module.schema, module.ties)
        return apply.apply_to_module(resolution, module, weights, assign=assign)

    def state_dict(self, source: Mapping[str, Any]) -> StateDict:
        """Return what the plan makes of a state dict, lazy: to be saved, or taken as numpy or torch.

        Raises:
            PlanProblems: the plan has problems, or leaves tensors to be initialised, which only a model does.
        """
        from . import apply

        return apply.as_state_dict(self.check(source))

    def apply_optimizer(self, optimizer: Any, source: Any, *, model: Any, **given: Any) -> OptimizerReport:
        """Load a saved optimizer's moments into the live optimizer of a model that the plan filled; all or nothing.

        `source` is `wl.open(path)`, or an optimizer's state dict with `weights=` beside it. What else may be given is
        told by `weightlift.mapping.optimizer_state.apply_optimizer`.

        Raises:
            PlanError: parameters that cannot be named, or moments that cannot follow, every one of them.
        """
        from .optimizer_state import apply_optimizer

        return apply_optimizer(self.rules, optimizer, source, model=model, **given)

    def verify(self, old_model: Any, new_model: Any, inputs: Any, **given: Any) -> Verification:
        """Return whether the new model computes what the old one does, proven by a forward pass on random weights.

        `inputs` are a tensor, a tuple, a dict of keywords, or a callable that takes a model and returns its output;
        `new_inputs=` are those of the new model where they differ. `seed=` is that of the weights, `max_tries=` how
        many other meanings of the `!unsure` rules are tried. Both models come back exactly as they were.

        Raises:
            PlanProblems: every problem but `!unsure`. PlanError: a model that does not run, or outputs unlike in kind.
        """
        from .verify import verify

        return verify(self, old_model, new_model, inputs, **given)

    def __str__(self) -> str:
        return self.text


def _dims(found: Any) -> dict[str, int]:
    if not isinstance(found, dict) or not all(
        name.isidentifier() and name.isascii() and type(size) is int and size > 0 for name, size in found.items()
    ):
        raise PlanError(f"dims = {found!r}", expected="names with whole numbers")
    return found


def _block(block: Any, dims: Mapping[str, int], line: int) -> list[Rule]:
    if not isinstance(block, dict):
        raise PlanError(f"a block that is {block!r:.60}", expected="[[block]] with rules")
    unknown = set(block) - {"source", "target", "rules"}
    if unknown or not isinstance(block.get("rules"), str):
        raise PlanError(f"a block with {', '.join(sorted(block))}", expected='rules = """..."""; source, target')
    prefixes = (block.get("source", ""), block.get("target", ""))
    if not all(isinstance(prefix, str) for prefix in prefixes):
        wrong = next(side for side in ("source", "target") if not isinstance(block.get(side, ""), str))
        raise PlanError(f"{wrong} = {block[wrong]!r:.60} in a block", expected="the beginning of the names")
    found = (parse_rule(text, line + i, dims, prefixes) for i, text in enumerate(block["rules"].split("\n")))
    return [rule for rule in found if rule is not None]
