"""Pairs in symmetric tiles of cache size, O(n d) memory, on any device (PERFORMANCE 1).

Each tile is computed once for both of its orders, its diagonal is exact, and nothing of size n x n exists. Losses
that are linear in the kernel have value and gradient after one sweep. The joint entropy takes another one in the
backward pass: the weight of a pair needs the sums of both of its rows first.
"""

from cabench.losses.backends.tiled.attributes import supervised_alignment
from cabench.losses.backends.tiled.joint_entropy import joint_entropy
from cabench.losses.backends.tiled.mmd import mmd
from cabench.losses.backends.tiled.sepclr import sepclr_pairwise
from cabench.losses.backends.tiled.uniformity import uniformity

__all__ = ["joint_entropy", "mmd", "sepclr_pairwise", "supervised_alignment", "uniformity"]
