"""The names that annotations take from `typing`, for type checkers the same, without importing it.

`typing` and what it imports cost as much as half of starting Python, and nothing here looks at an
annotation while it runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""What type checkers take for true."""

if TYPE_CHECKING:
    from typing import Any as Any
    from typing import Final as Final
    from typing import Literal as Literal
    from typing import Self as Self
    from typing import TypeAlias as TypeAlias
else:

    class _Name:
        """A name that can be written, and subscripted, where a type stands."""

        def __class_getitem__(cls, _: object) -> type[_Name]:
            return cls

    Any = Final = Literal = Self = TypeAlias = _Name
