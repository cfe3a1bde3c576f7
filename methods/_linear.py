"""What the linear methods share: pixels of the whole view, components, deflation, two affine maps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from cabench.augment.views import canvas, whole
from cabench.codes import Codes, Split
from cabench.errors import UserError
from cabench.method import Context, Method
from cabench.params import count
from cabench.seeds import stream_seed
from cabench.train import EMBED_ROWS


class Linear(Method):
    """A method whose codes are affine in the pixels: (x - mean) @ axes, in both spaces.

    Attributes:
        size_: side in pixels of the image that is seen.
        common_mean_, salient_mean_: (pixels,).
        common_axes_, salient_axes_: (pixels, d), one column per unit of the code.
    """

    size_: int
    common_mean_: np.ndarray
    common_axes_: np.ndarray
    salient_mean_: np.ndarray
    salient_axes_: np.ndarray

    @abstractmethod
    def learn(self, x: np.ndarray, y: np.ndarray, validation: Split | None, seed: int) -> None:
        """Set means and axes from the pixels (n, pixels) of the training images and their groups (n,).

        Raises:
            UserError: there are too few images, or pixels, for so many dimensions.
        """

    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Find means and axes in closed form.

        Raises:
            UserError: there are too few images, or pixels, for so many dimensions.
        """
        self.size_ = canvas(train).size
        seed = stream_seed(context.seed, "init") % 2**32
        with threadpool_limits(1):
            self.learn(self.pixels(train.x), train.y, validation, seed)
        return self

    def embed(self, x: np.ndarray) -> Codes:
        """Return the scores on the axes of uint8 images (n, channels, ...)."""
        with threadpool_limits(1):
            pieces = [self._scores(x[i : i + EMBED_ROWS]) for i in range(0, len(x), EMBED_ROWS)]
        common, salient = (np.concatenate(codes) for codes in zip(*pieces, strict=True))
        return Codes(common, salient)

    def pixels(self, x: np.ndarray) -> np.ndarray:
        """Return the whole view of uint8 images (n, channels, ...), flattened: float32 (n, pixels) in [0, 1]."""
        flat: np.ndarray = whole(torch.from_numpy(x), self.size_).flatten(1).numpy()
        return flat

    def place(self, common: tuple[np.ndarray, np.ndarray], salient: tuple[np.ndarray, np.ndarray]) -> None:
        """Keep mean (pixels,) and axes (pixels, d) of both spaces."""
        self.common_mean_, self.common_axes_ = (part.astype(np.float32) for part in common)
        self.salient_mean_, self.salient_axes_ = (part.astype(np.float32) for part in salient)

    def _scores(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels = self.pixels(x)
        return (
            (pixels - self.common_mean_) @ self.common_axes_,
            (pixels - self.salient_mean_) @ self.salient_axes_,
        )


@dataclass(kw_only=True, eq=False)
class LinearPair(Linear):
    """A linear method with a subspace for each space.

    Args:
        common_dim: size of the common code.
        salient_dim: size of the salient code.
    """

    common_dim: int = count(32)
    salient_dim: int = count(32)

    def require(self, x: np.ndarray, y: np.ndarray) -> None:
        """Check that both subspaces can be told from the pixels (n, pixels) of the groups (n,).

        Raises:
            UserError: a group is too small, or all its images are the same, or there are too few pixels.
        """
        largest, both = max(self.common_dim, self.salient_dim), self.common_dim + self.salient_dim
        if min(np.sum(y == 0), np.sum(y == 1)) <= largest:
            raise UserError(
                f"'{self.name}' needs more background and more target images than the {largest} components "
                "of a code."
            )
        if x.shape[1] < both:
            raise UserError(
                f"'{self.name}' needs at least {both} pixels for its {both} components, not {x.shape[1]}."
            )
        if any(not np.ptp(x[y == group], axis=0).any() for group in (0, 1)):
            raise UserError(f"'{self.name}' needs background and target images that differ among themselves.")


@dataclass(frozen=True)
class Groups:
    """The two groups in the coordinates of a first PCA: float64 arrays (n, k)."""

    background: np.ndarray
    target: np.ndarray


@dataclass(kw_only=True, eq=False)
class ContrastivePair(LinearPair):
    """s: axes along which the target varies and the background does not; c: what varies in the background besides.

    The common axes are the leading ones of the background in the orthogonal complement of the salient ones, that
    is, after deflation. Both codes are 0 at the mean of the background.

    Args:
        preprocess_dim: all training images are first reduced to at most so many components.
    """

    preprocess_dim: int = count(500)

    def __post_init__(self) -> None:
        """Check the parameters; raises UserError as well if the first PCA leaves too few dimensions."""
        super().__post_init__()
        if self.preprocess_dim < self.common_dim + self.salient_dim:
            raise UserError(
                f"{self.name}[preprocess_dim] must be at least common_dim + salient_dim = "
                f"{self.common_dim + self.salient_dim}, not {self.preprocess_dim}."
            )

    @abstractmethod
    def contrast(self, train: Groups, watched: Groups) -> np.ndarray:
        """Return the salient axes (k, salient_dim) of `train`; `watched` may decide between several."""

    def learn(self, x: np.ndarray, y: np.ndarray, validation: Split | None, seed: int) -> None:
        """Reduce, contrast, deflate."""
        self.require(x, y)
        first = components(x, min(self.preprocess_dim, len(x) - 1, x.shape[1]), seed)
        train = groups(x, y, *first)
        watched = train
        if validation is not None and min(np.sum(validation.y == 0), np.sum(validation.y == 1)) > 1:
            watched = groups(self.pixels(validation.x), validation.y, *first)
        salient = self.contrast(train, watched)
        common = leading_beside(covariance(train.background), salient, self.common_dim)
        centre = x[y == 0].mean(0)
        self.place((centre, first[1] @ common), (centre, first[1] @ salient))


def components(x: np.ndarray, dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (pixels,) and leading principal axes (pixels, dim) of x (n, pixels), by randomised SVD."""
    fitted = PCA(dim, svd_solver="randomized", random_state=seed).fit(x)
    return fitted.mean_, fitted.components_.T


def deflated(x: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the rows of x (n, k) without what orthonormal axes (k, d) explain of them."""
    left: np.ndarray = x - (x @ axes) @ axes.T
    return left


def groups(x: np.ndarray, y: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> Groups:
    """Return the groups (n,) of x (n, pixels) in the coordinates of mean (pixels,) and axes (pixels, k)."""
    reduced = ((x - mean) @ axes).astype(np.float64)
    return Groups(reduced[y == 0], reduced[y == 1])


def covariance(x: np.ndarray) -> np.ndarray:
    """Return the covariance (k, k) of x (n, k) about its own mean."""
    return np.atleast_2d(np.cov(x, rowvar=False))


def top_axes(matrix: np.ndarray, dim: int, metric: np.ndarray | None = None) -> np.ndarray:
    """Return the eigenvectors (k, dim) of the largest eigenvalues of a symmetric matrix (k, k), largest first.

    With a positive definite `metric` (k, k) those of matrix v = lambda metric v, where v' metric v = 1.
    """
    k = len(matrix)
    axes: np.ndarray = eigh(matrix, metric, subset_by_index=(k - dim, k - 1))[1]
    return axes[:, ::-1]


def leading_beside(matrix: np.ndarray, taken: np.ndarray, dim: int) -> np.ndarray:
    """Return the leading axes (k, dim) of a covariance (k, k) that are orthogonal to the axes `taken` (k, d)."""
    # Within a basis of the complement: a deflated matrix of low rank has the taken axes among its null vectors.
    free = np.linalg.qr(taken, mode="complete")[0][:, taken.shape[1] :]
    axes: np.ndarray = free @ top_axes(free.T @ matrix @ free, dim)
    return axes
