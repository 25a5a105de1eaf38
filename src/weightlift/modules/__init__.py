"""A pickled `nn.Module`, without its class: the keys and values that its `state_dict()` would give."""

from .module import is_module, module_state_dict

__all__ = ["is_module", "module_state_dict"]
