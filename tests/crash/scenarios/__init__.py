"""The saves that are crashed, by name."""

from __future__ import annotations

from .a_run import A_RUN
from .by_hand import BY_HAND
from .one_checkpoint import ONE_CHECKPOINT
from .peers import PEERS
from .scenario import Scenario

OURS = {**ONE_CHECKPOINT, **A_RUN}
SCENARIOS: dict[str, Scenario] = {**BY_HAND, **PEERS, **OURS}
