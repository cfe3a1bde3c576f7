"""The images themselves: one code for both spaces, which separates nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cabench.codes import Split
from cabench.errors import UserError
from cabench.methods._linear import Linear, components
from cabench.params import count


@dataclass(kw_only=True, eq=False)
class Pixels(Linear):
    """The leading components of all training images, the same code in both spaces (METHODS 2.13).

    Args:
        dim: components; the code has fewer if there are fewer pixels.
    """

    name = "pixels"
    title = "PCA of the pixels, one code for both spaces"
    paper = ""
    kind = "linear"
    supervision = "none"
    role = "floor"

    dim: int = count(64)

    def learn(self, x: np.ndarray, y: np.ndarray, validation: Split | None, seed: int) -> None:
        """Fit one subspace, without a look at the groups."""
        if len(x) <= self.dim:
            raise UserError(f"'pixels' needs more than {self.dim} images for its {self.dim} components.")
        code = components(x, min(self.dim, x.shape[1]), seed)
        self.place(code, code)
