"""PCA of the background, and of what it leaves of the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cabench.codes import Split
from cabench.methods._linear import LinearPair, components, deflated


@dataclass(kw_only=True, eq=False)
class BackgroundPCA(LinearPair):
    """c: leading components of the background; s: leading components of the target's residual (METHODS 2.13).

    Args:
        common_dim: components of the background.
        salient_dim: components of the target after the common ones are removed.
    """

    name = "pca"
    title = "PCA of the background, then of the target's residual"
    paper = ""
    kind = "linear"
    supervision = "domain"
    role = "floor"

    def learn(self, x: np.ndarray, y: np.ndarray, validation: Split | None, seed: int) -> None:
        """Fit both subspaces, the second one on residuals of the first."""
        self.require(x, y)
        mean, common = components(x[y == 0], self.common_dim, seed)
        residual_mean, salient = components(deflated(x[y == 1] - mean, common), self.salient_dim, seed)
        self.place((mean, common), (mean + residual_mean, deflated(salient.T, common).T))
