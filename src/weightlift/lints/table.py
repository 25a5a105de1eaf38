"""The rules: one line for each. Nothing else lists them."""

from __future__ import annotations

RULES = {
    "WL101": "state_dict_of_a_load",
    "WL301": "load_without_weights_only",
    "WL401": "strict_false_result_discarded",
    "WL402": "unguarded_key_slice",
    "WL403": "unguarded_key_replace",
    "WL404": "assign_after_optimizer",
    "WL405": "incomplete_training_checkpoint",
    "WL406": "model_and_optimizer_pickled_apart",
    "WL407": "metadata_lost_by_comprehension",
    "WL408": "slice_saved_with_its_storage",
}
"""The module in `lints.rules` for each code: 1xx certain bugs, 2xx deprecated, 3xx unsafe or brittle, 4xx silent."""

BROKEN_FILE = "WL901"
"""The code of a file that cannot be read or parsed; no rule stands behind it."""

UNFIXED_FILE = "WL902"
"""The code of a file whose fixes could not be carried out or written; it is as it was."""
