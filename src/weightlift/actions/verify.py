"""`verify`: a plan proven by a forward pass through two models that the user's own code makes."""

from __future__ import annotations

import os

from ..errors import SourceError
from ..mapping.plan import Plan
from ..mapping.verification import Verification
from .targets import imported, made_by


def verify_plan(
    plan: Plan | str | os.PathLike[str],
    source: str,
    target: str,
    inputs: str,
    *,
    new_inputs: str | None = None,
    seed: int | None = None,
    max_tries: int | None = None,
) -> Verification:
    """Return what `Plan.verify` finds for the models and inputs of `package.module:name`; runs that code.

    `inputs` names a function without arguments that returns the inputs, or those themselves.

    Raises:
        SourceError: no such code, or it fails. PlanError: see `Plan.verify`.
    """
    given = plan if isinstance(plan, Plan) else Plan.load(plan)
    chosen = {name: value for name, value in (("seed", seed), ("max_tries", max_tries)) if value is not None}
    old, new = made_by(source), made_by(target)
    other = None if new_inputs is None else _inputs(new_inputs)
    return given.verify(old, new, _inputs(inputs), new_inputs=other, **chosen)


def _inputs(place: str) -> object:
    found = imported(place)
    try:
        return found() if callable(found) else found
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises is told, not passed on
        raise SourceError(f"gives no inputs: {type(error).__name__}: {error}", where=place) from None
