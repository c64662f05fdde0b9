"""How much is computed at once, in one place: the sizes of chunks, blocks and buffers.

On a CPU a chunk should stay in a core's cache; a GPU wants enough at once to be busy. Results on a
CPU may change in their last bits with these numbers, as sums are cut in other places.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what needs no torch reads this too
    from torch import Tensor


@dataclass(frozen=True)
class Budget:
    """So much at once.

    Attributes:
        cpu: elements, rows or pixels on a CPU.
        gpu: the same on a GPU; None: as many.
    """

    cpu: int
    gpu: int | None = None

    def on(self, values: "Tensor") -> int:
        """The budget of the device that values lie on."""
        return self.gpu if values.is_cuda and self.gpu is not None else self.cpu


# Encoders.

HEAD = Budget(1 << 16)
"""Logits of a head of bfloat16 attention from which heads are taken one by one: 128 KiB."""

# Upsamplers and operators: elements of the largest temporary array of a chunk.

ANYUP_LOGITS = Budget(1 << 19, 8 << 20)
"""Attention logits of AnyUp: 2 MiB on a CPU."""
NAF_LOGITS = Budget(1 << 20, 16 << 20)
"""Attention logits of NAF: 4 MiB on a CPU."""
BILATERAL = Budget(1 << 18, 4 << 20)
"""Weights of the bilateral operator: 1 MiB on a CPU."""
RESPONSES = Budget(1 << 18, 8 << 20)
"""Filter responses of AnyUp's feature unification: 1 MiB on a CPU."""
CELLS = Budget(1 << 18, 16 << 20)
"""A local operator's products: 1 MiB on a CPU, which its allocator hands out again."""
POOLED_CELLS = Budget(16)
"""Cells of a local operator whose sets are summed at once, at most: the more there are, the more
tokens they look at together, and each set has a column for all of them."""
ATTENTION = Budget(1 << 20, 16 << 20)
"""Logits of global attention, pixels x tokens of one head: 4 MiB on a CPU."""
STRIP = Budget(2048, 1 << 40)
"""Pixels of a strip of AnyUp's and JAFAR's networks: 128 channels of it are 1 MiB. A GPU takes the
image whole."""
FILTERED = Budget(4096)
"""Outputs of a 3 x 3 convolution by minimal filtering: 128 channels of what it makes of them are
4.5 MiB, three times, but of half as many its products are too small to be fast."""
DENSE_ROWS = Budget(2048)
"""Pixels whose rows of A are made dense at once."""

# Refinement.

PAIR_ROWS = Budget(480)
"""Rows of the matrix of all pairs of nodes on a CPU: of 20 000 nodes 38 MB. No power of two, for
then the columns of a result share a few lines of the cache, and its transpose takes four times as
long."""
PAIRS_KEPT = Budget(16 << 20)
"""Pairs that are kept for their mirror images, 64 MiB: enough for all pairs of 5700 nodes."""
PAIRS = Budget(1 << 21, 64 << 20)
"""Pairs of nodes that are weighed at once where a whole batch is refined."""
WEIGHED_ROWS = Budget(32)
"""Rows weighed at once: with 5000 columns, distances and weights stay in a core's cache."""
CANDIDATES = Budget(1024)
"""Nodes whose approximate neighbours are compared at once."""
SPREAD = Budget(1 << 21, 32 << 20)
"""Weights of an operator that are summed over superpixels at once where a batch is refined."""

# Methods and prompts.

CLUSTER_DISTANCES = Budget(1 << 24)
"""Distances of pixels to cluster centres: 64 MiB."""
COVARIANCE_ROWS = Budget(8192)
"""Pixels whose features are made dense at once, for a covariance."""

# Files and maps.

BLOCKS_MIB = Budget(32)
"""Memory for blocks of files, where they are tiled."""
MOST_BLOCKS_MIB = Budget(1024)
"""The same at the most, for files of whole rows."""
COUNTED_PX = Budget(1 << 22)
"""Labels that are counted at once: bincount takes eight bytes each, 32 MiB."""
MEASURED_PX = Budget(1 << 22)
"""Pixels of a strip of whole rows whose patches are measured: 32 MiB of numbers."""
READ_AHEAD = Budget(2)
"""Batches of chips whose pixels are in memory for a GPU: one is scored, one is being read."""
MOST_CHIPS = Budget(1, 64)
"""Chips in a batch whose size is measured: a GPU is busy with fewer."""
GPU_SHARE = 0.8
"""Share of a GPU's free memory that a batch may take; the rest is for what was not measured."""
