"""The validation part of a data set whose owners made none."""

from __future__ import annotations

import numpy as np

from cabench.seeds import numpy_stream


def tenth(strata: np.ndarray, seed: int, *names: object) -> np.ndarray:
    """Return a mask (n,) that is true on a seeded tenth of the rows, with every stratum in its share.

    The rows are laid out stratum after stratum, shuffled within each, and every tenth is taken: each stratum, and
    each run of neighbouring ones, gets its tenth to within one row, even where strata are smaller than ten.

    Args:
        strata: class of each row (n,); neighbouring numbers should mean similar classes.
        seed: the data's seed.
        names: the random stream: the data set, and what is drawn.

    """
    rng = numpy_stream(seed, *names)
    order = np.lexsort((rng.random(len(strata)), strata))
    mask = np.zeros(len(strata), bool)
    mask[order[rng.integers(10) :: 10]] = True
    return mask
