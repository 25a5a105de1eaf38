"""`torch.ScriptObject`: objects of torch's C++ classes, whose state the pickle holds as plain data.

torch writes them as `ScriptObject.__new__()` and a state of (what the class's own `__getstate__` gave,
the class's name), see torch/_classes.py and torch/csrc/jit/python/script_init.cpp.
"""

from __future__ import annotations

from ..typed import Any
from .nodes import Global, Object

SCRIPT_OBJECT = Global("torch", "ScriptObject")
_PREFIX = "__torch__.torch.classes."


def script_object(class_name: str, state: Any) -> Object:
    """Return the node of an object of a C++ class ("quantized.LinearPackedParamsBase") in that state."""
    made = Object(SCRIPT_OBJECT, (), is_call=False, offset=0)
    made.build((state, _PREFIX + class_name))
    return made


def script_state(value: Any) -> tuple[str, Any] | None:
    """Return (class name, state) of a script object, or None where the value is none."""
    if not isinstance(value, Object) or value.fn != SCRIPT_OBJECT:
        return None
    state = value.state
    if not isinstance(state, tuple) or len(state) != 2 or not isinstance(state[1], str):
        return None
    return state[1].removeprefix(_PREFIX), state[0]
