"""The saves that are crashed, by name."""

from __future__ import annotations

from .by_hand import BY_HAND
from .ours import OURS
from .peers import PEERS
from .scenario import Scenario

SCENARIOS: dict[str, Scenario] = {**BY_HAND, **PEERS, **OURS}
