"""Training on many ranks: the same calls, on `torch.distributed.checkpoint`, and still nothing is pickled into a file.

Every rank of the process group makes the same call. torch's planner says who writes and who reads which block;
the bytes go through our own files and manifest. What is each rank's own (random states, its position in the
data) lies under `rank/<r>/`.
"""

from .group import are_on

__all__ = ["are_on"]
