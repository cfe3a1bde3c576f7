"""cPCA++: the contrast of two covariances without a weight to choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cabench.method import Settings
from cabench.methods._linear import ContrastivePair, Groups, top_axes
from cabench.params import rate


@dataclass(kw_only=True, eq=False)
class CPCAPlusPlus(ContrastivePair):
    """Salloum and Kuo, Pattern Recognition 124:108378, 2022 (METHODS 2.13).

    s: the leading solutions of Cov_target v = lambda (Cov_background + eps I) v, both groups about the mean of the
    background, so that a shift between the groups counts as variance of the target. The axes are not orthogonal:
    the background has unit variance along each of them.

    Args:
        ridge: eps, as a share of the background's mean variance per dimension.
    """

    name = "cpca_plus_plus"
    title = "Contrastive PCA++"
    paper = "Salloum and Kuo, Pattern Recognition 2022"
    kind = "linear"
    supervision = "domain"
    # A closed form has no budget, and nothing is published for these data sets.
    settings: ClassVar[Settings] = {"quick": {"*": {"ridge": 1.0}}}

    ridge: float = rate(1e-3)

    def contrast(self, train: Groups, watched: Groups) -> np.ndarray:
        """Return the generalised eigenvectors."""
        centre = train.background.mean(0)
        target, background = ((z - centre).T @ (z - centre) / len(z) for z in (train.target, train.background))
        eps = self.ridge * np.trace(background) / len(background)
        axes: np.ndarray = top_axes(target, self.salient_dim, background + eps * np.eye(len(background)))
        return axes
