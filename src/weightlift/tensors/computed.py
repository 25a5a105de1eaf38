"""A tensor that is still to be computed from others: its shape and dtype are known, its values are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..dtypes import DType
from ..typed import TYPE_CHECKING, Any
from ..values import dataclass
from .lazy import Composite, Tensor, product

if TYPE_CHECKING:
    import numpy as np

    Compute = Callable[[list[np.ndarray[Any, Any]]], np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """The result of `compute` on the values of `inputs`; nothing is read before values are asked for.

    Where `streams` is set, the packed bytes of the inputs one after another are the packed bytes of the
    result (a concatenation of rows), and nothing is ever held whole. `same` is equal for results that
    are sure to be equal, "" where nothing is known: two casts of one tied tensor stay tied by it.
    """

    dtype: DType
    shape: tuple[int, ...]
    inputs: tuple[Tensor | Computed, ...]
    compute: Compute
    streams: bool = False
    same: object = ""
    scratch: int = 0
    """Bytes that `compute` holds beside its inputs and its result, at most."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        return product(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, written without gaps."""
        return self.dtype.nbytes(self.numel)

    @property
    def peak_nbytes(self) -> int:
        """Bytes held at once, at most, by `numpy`: inputs are made one after the other, and then the result."""
        held = most = 0
        for part in self.inputs:
            most = max(most, held + part.peak_nbytes)
            held += part.nbytes
        return max(most, held + self.scratch + self.nbytes)

    @property
    def streamed_nbytes(self) -> int:
        """Bytes held at once, at most, while `chunks` is gone through."""
        if self.streams:
            return max((part.streamed_nbytes for part in self.inputs), default=0)
        return self.peak_nbytes

    @property
    def absent(self) -> str:
        """Why an input has no data, or ""."""
        return next((part.absent for part in self.inputs if part.absent), "")

    @property
    def view(self) -> tuple[object, ...]:
        """Equal for results that are sure to be equal; they share memory with nothing."""
        return (self.same or id(self),)

    def check(self) -> None:
        """Check every input."""
        for part in self.inputs:
            part.check()

    def chunks(self) -> Iterator[bytes | bytearray | memoryview]:
        """Yield the elements as little-endian bytes, rows first."""
        if self.streams:
            for part in self.inputs:
                yield from part.chunks()
        else:
            import numpy as np

            yield self.numpy().reshape(-1).view(np.uint8).data

    def tobytes(self) -> bytes:
        """Return the elements as little-endian bytes, rows first."""
        return b"".join(self.chunks())

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return the values as a new array of this shape and dtype."""
        import numpy as np

        made = np.ascontiguousarray(self.compute([part.numpy() for part in self.inputs]))
        if made.base is not None and made.base.nbytes > made.nbytes:
            made = made.copy()  # a part of an input would keep all of it in memory
        return made.reshape(self.shape)

    def __repr__(self) -> str:
        return f"Computed({self.dtype}, {list(self.shape)})"


Lazy = Tensor | Computed


def strided_parts(value: Any) -> Iterator[Tensor]:
    """Yield every strided tensor that a tensor is made of, itself where it is one; of anything else none."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Composite):
        yield from value.parts.values()
    elif isinstance(value, Computed):
        for part in value.inputs:
            yield from strided_parts(part)
