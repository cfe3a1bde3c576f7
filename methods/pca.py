"""PCA of the background, and of what it leaves of the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from cabench.augment.views import canvas, whole
from cabench.codes import Codes, Split
from cabench.errors import UserError
from cabench.method import Context, Method
from cabench.params import count
from cabench.seeds import stream_seed


@dataclass(kw_only=True, eq=False)
class BackgroundPCA(Method):
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

    common_dim: int = count(32)
    salient_dim: int = count(32)

    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Fit both subspaces.

        Raises:
            UserError: a group has too few images for the number of components.
        """
        if min(np.sum(train.y == 0), np.sum(train.y == 1)) <= max(self.common_dim, self.salient_dim):
            raise UserError("'pca' needs more background and more target images than components.")
        self.size_ = canvas(train).size
        seed = stream_seed(context.seed, "init") % 2**32
        pixels = self._pixels(train.x)
        with threadpool_limits(1):
            self.common_ = PCA(self.common_dim, svd_solver="randomized", random_state=seed)
            self.common_.fit(pixels[train.y == 0])
            residual = self._residual(pixels[train.y == 1])
            self.salient_ = PCA(self.salient_dim, svd_solver="randomized", random_state=seed).fit(residual)
        return self

    def embed(self, x: np.ndarray) -> Codes:
        """Return the scores."""
        pixels = self._pixels(x)
        with threadpool_limits(1):
            common = self.common_.transform(pixels)
            salient = self.salient_.transform(self._residual(pixels))
        return Codes(common.astype(np.float32), salient.astype(np.float32))

    def _pixels(self, x: np.ndarray) -> np.ndarray:
        return whole(torch.from_numpy(x), self.size_).flatten(1).numpy()

    def _residual(self, pixels: np.ndarray) -> np.ndarray:
        explained: np.ndarray = self.common_.inverse_transform(self.common_.transform(pixels))
        residual: np.ndarray = pixels - explained
        return residual
