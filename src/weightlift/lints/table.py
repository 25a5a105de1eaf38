"""The rules: one line for each. Nothing else lists them."""

from __future__ import annotations

RULES = {
    "WL101": "state_dict_of_a_load",
    "WL102": "lstrip_of_a_prefix",
    "WL103": "best_state_without_a_copy",
    "WL104": "state_dicts_compared",
    "WL105": "state_dict_override_forgets_destination",
    "WL106": "state_dict_override_without_keywords",
    "WL201": "positional_state_dict_arguments",
    "WL202": "positional_super_state_dict",
    "WL301": "load_without_weights_only",
    "WL302": "load_with_weights_only_false",
    "WL303": "load_with_a_pickle_module",
    "WL304": "whole_model_saved",
    "WL305": "whole_optimizer_saved",
    "WL306": "whole_model_loaded",
    "WL307": "map_location_as_a_filter",
    "WL308": "load_without_map_location",
    "WL309": "map_location_lambda",
    "WL401": "strict_false_result_discarded",
    "WL402": "unguarded_key_slice",
    "WL403": "unguarded_key_replace",
    "WL404": "assign_after_optimizer",
    "WL405": "incomplete_training_checkpoint",
    "WL406": "model_and_optimizer_pickled_apart",
    "WL407": "metadata_lost_by_comprehension",
    "WL408": "slice_saved_with_its_storage",
    "WL409": "own_state_dict_filled_up",
}
"""The module in `lints.rules` for each code: 1xx certain bugs, 2xx deprecated, 3xx unsafe or brittle, 4xx silent."""

BROKEN_FILE = "WL901"
"""The code of a file that cannot be read or parsed; no rule stands behind it."""

UNFIXED_FILE = "WL902"
"""The code of a file whose fixes could not be carried out or written; it is as it was."""
