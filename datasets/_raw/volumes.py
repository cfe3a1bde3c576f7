"""NIfTI volumes: where their voxels lie, and their mean in the cells of a cube; a damaged one is Unreadable."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cabench.dataset import Unreadable


@dataclass(frozen=True)
class Grid:
    """Where voxels lie, with the axes in canonical order: x to the right, y to the front, z up.

    Attributes:
        shape: number of voxels (x, y, z).
        affine: the 16 numbers that take a voxel's indices to its place in mm, row by row, rounded to a micrometre.

    """

    shape: tuple[int, ...]
    affine: tuple[float, ...]

    @property
    def sizes(self) -> np.ndarray:
        """The sides of a voxel in mm (x, y, z)."""
        return np.asarray(np.linalg.norm(np.reshape(self.affine, (4, 4))[:3, :3], axis=0))


def common_grid(paths: Iterable[Path]) -> Grid | None:
    """Return the grid that most of some volumes have, by their headers; None if no header can be read."""
    grids: Counter[Grid] = Counter()
    for path in paths:
        try:
            grids[_turned(_open(path))[0]] += 1
        except Unreadable:
            continue
    return grids.most_common(1)[0][0] if grids else None


def read_cube(path: Path, grid: Grid | None, side: int) -> np.ndarray:
    """Return the mean value in each cell of a cube around a volume, float32 (side, side, side) as (z, y, x).

    The cube has the volume's middle and its longest side; around the volume everything is 0. A voxel counts in a
    cell with the share that lies in it, so that the sum over the volume is kept.

    Args:
        path: a .nii or .nii.gz file.
        grid: what the volume must have, see `common_grid`; None for any.
        side: cells of the cube along each axis.

    Raises:
        Unreadable: the file is missing, truncated, no NIfTI file, of another grid, or holds values that are not
            finite.

    """
    image = _open(path)
    own, turn = _turned(image)
    if grid is not None and own.shape != grid.shape:
        raise Unreadable(f"its shape is {_times(own.shape)}, and that of most volumes {_times(grid.shape)}")
    if grid is not None and own != grid:
        raise Unreadable("its affine puts the voxels elsewhere than that of most volumes does")
    try:
        voxels: np.ndarray = _orientations().apply_orientation(
            image.get_fdata(caching="unchanged", dtype=np.float32), turn
        )
    except (OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise Unreadable(f"it is truncated or damaged: {_line(error, path)}") from error
    if not np.isfinite(voxels).all():
        raise Unreadable(f"{np.count_nonzero(~np.isfinite(voxels))} of its voxels are NaN or infinite")
    extent = float((np.array(own.shape) * own.sizes).max())
    for axis, (n, size) in enumerate(zip(own.shape, own.sizes, strict=True)):
        voxels = np.moveaxis(np.tensordot(_shares(n, size, extent, side), voxels, (1, axis)), 0, axis)
    return np.ascontiguousarray(voxels.transpose(2, 1, 0))


def _open(path: Path) -> Any:
    """Return the nibabel image, of which no voxel is read yet."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image: Any = nibabel.load(path)
        spatial = len(image.shape) == 3 and all(image.shape)
    except (OSError, EOFError, ValueError, OverflowError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise Unreadable(f"it is no whole NIfTI file: {_line(error, path)}") from error
    if not spatial:
        raise Unreadable(f"its shape is {_times(image.shape)}, which is no volume")
    if not (image.header["sform_code"] or image.header["qform_code"]):
        raise Unreadable("its header does not say which way its axes point")
    return image


def _turned(image: Any) -> tuple[Grid, np.ndarray]:
    """Return the grid of an image with its axes in canonical order, and nibabel's table of how to turn them."""
    singular = Unreadable("the affine of its header is singular")
    if not np.isfinite(image.affine).all():
        raise singular
    turn: np.ndarray = _orientations().io_orientation(image.affine)
    volume = np.linalg.norm(image.affine[:3, :3], axis=0).prod()
    if np.isnan(turn).any() or not abs(np.linalg.det(image.affine[:3, :3])) > 1e-6 * volume:
        raise singular
    shape = tuple(image.shape[axis] for axis in np.argsort(turn[:, 0]))
    # The sum turns -0.0 into 0.0.
    affine = (image.affine @ _orientations().inv_ornt_aff(turn, image.shape)).round(3) + 0.0
    return Grid(shape, tuple(affine.ravel().tolist())), turn


def _orientations() -> Any:
    """Return nibabel's module, which has no annotations."""
    from nibabel import orientations

    return orientations


def _shares(n: int, size: float, extent: float, side: int) -> np.ndarray:
    """Return how much of each cell (row) each voxel (column) fills along one axis, float32 (side, n)."""
    voxel = (np.arange(n + 1) - n / 2) * size
    cell = (np.arange(side + 1) - side / 2) * extent / side
    upper = np.minimum(cell[1:, None], voxel[None, 1:])
    lower = np.maximum(cell[:-1, None], voxel[None, :-1])
    return np.asarray(np.clip(upper - lower, 0, None) * side / extent, np.float32)


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _line(error: Exception, path: Path) -> str:
    """Return what an error says in one line, with the file's name alone in place of its path."""
    said = str(getattr(error, "strerror", None) or error).replace(str(path), path.name)
    return " ".join(said.split()) or type(error).__name__
