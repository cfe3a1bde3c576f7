"""cPCA: contrastive principal component analysis."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from cabench.methods._linear import ContrastivePair, Groups, covariance, top_axes
from cabench.params import choice, weight

ALPHAS = (0.0, *np.geomspace(0.1, 1000, 40).tolist())
LEAST_SHARE = 0.05


@dataclass(kw_only=True, eq=False)
class CPCA(ContrastivePair):
    """Abid, Zhang, Bagaria and Zou, Nature Communications 9:2134, 2018 (METHODS 2.13, C1).

    s: the leading eigenvectors of Cov_target - alpha Cov_background, each group about its own mean.

    Args:
        alpha_choice: "validation" takes, from 0 and 40 values between 0.1 and 1000, the alpha whose axes have the
            largest ratio of target to background variance on the validation split, among those that explain 5 %
            of the target's variance there, after the first PCA (0 if none does); no label but the group is seen.
            Without a validation split, or with fewer than two images of a group in it, the training split
            decides. "fixed" takes `alpha`.
        alpha: the fixed weight of the background's covariance.
    """

    name = "cpca"
    title = "Contrastive PCA"
    paper = "Abid et al., Nature Communications 2018"
    kind = "linear"
    supervision = "domain"
    # No settings: a closed form has no budget, and nothing is published for these data sets.

    alpha_choice: str = choice("validation", "fixed")
    alpha: float = weight(1.0)

    def contrast(self, train: Groups, watched: Groups) -> np.ndarray:
        """Return the axes of the fixed or of the best alpha."""
        target, background = covariance(train.target), covariance(train.background)
        alphas = ALPHAS if self.alpha_choice == "validation" else (float(self.alpha),)
        candidates: dict[float, np.ndarray] = {
            alpha: top_axes(target - alpha * background, self.salient_dim) for alpha in alphas
        }
        self.alpha_ = best_alpha(candidates, covariance(watched.target), covariance(watched.background))
        return candidates[self.alpha_]


def best_alpha(candidates: dict[float, np.ndarray], target: np.ndarray, background: np.ndarray) -> float:
    """Return the alpha of the largest variance ratio, or the first if none explains enough.

    Args:
        candidates: alpha -> axes (k, d).
        target: covariance (k, k) of the target images that decide.
        background: covariance (k, k) of the background images that decide.
    """
    best: float = next(iter(candidates))
    best_ratio = 0.0
    for alpha, axes in candidates.items():
        explained, unwanted = explained_variance(target, axes), explained_variance(background, axes)
        ratio = explained / max(unwanted, sys.float_info.min)
        if explained >= LEAST_SHARE * np.trace(target) and ratio > best_ratio:
            best, best_ratio = alpha, ratio
    return best


def explained_variance(matrix: np.ndarray, axes: np.ndarray) -> float:
    """Return the variance of a covariance (k, k) along orthonormal axes (k, d), summed."""
    return float(np.sum(axes * (matrix @ axes)))
