"""Difficulty knobs of the synthetic sources, and what only a renderer knows: salient masks and counterfactuals.

`view` renders images with the knobs that change pixels, `render` adds those that choose images (train and
validation only). Masks and counterfactuals belong to `view`, and so to every image of the test part.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from cabench.codes import Factor
from cabench.errors import UserError, did_you_mean
from cabench.seeds import numpy_stream, stream_seed

if TYPE_CHECKING:
    from cabench.dataset import Dataset, Rendered

RANGES = {
    "salient_strength": (0.0, 2.0),
    "noise": (0.0, 0.5),
    "nuisance": (0.0, 1.0),
    "confounding": (-1.0, 1.0),
    "contamination": (0.0, 0.5),
    "target_share": (0.05, 0.95),
    "train_share": (0.01, 1.0),
}
# What nuisance=1 does at most: gain 1 +- 0.3, offset +- a tenth of 255, shift +- a sixteenth of the side.
GAIN, OFFSET, SHIFT = 0.3, 0.1, 1 / 16
MASK_THRESHOLD = 4  # grey levels of 255
POOLS = 40  # pools of n / 2 images, after which a selection is given up
_CHUNK = 500


@dataclass(frozen=True)
class Difficulty:
    """How hard a synthetic source is; the defaults change nothing.

    Attributes:
        salient_strength: a in x0 + a (x - x0), where x0 is the image without its salient content; 0 to 2, clipped
            to black and white. Renders everything a second time.
        noise: standard deviation of added Gaussian noise, as a share of 255; 0 to 0.5.
        nuisance: 0 to 1, the amount of a random gain (up to 1 +- 0.3), offset (up to +- 0.1 of 255) and shift
            (up to +- 1/16 of the side in whole pixels, edges repeated) of each image. Labels of places stay as
            they are, and so lose some of their meaning.
        confounding: rho in [-1, 1]: the upper half of the confounder's values (over the median) or classes goes
            with y = 1, and the lower half with y = 0, in a share (1 + rho) / 2 of the images. For a balanced
            target that is their correlation.
        confounder: the common factor that is confounded.
        confounding_with: "target", or a salient factor of target rows, whose upper half then takes the place of
            y = 1, among the target images alone. How often that half occurs stays as it is.
        contamination: share of the target images that stand in the background with y = 0 and NaN as their salient
            labels; 0 to 0.5. They are moved, so that the background grows by them.
        target_share: share of target images before contamination; 0.05 to 0.95.
        train_share: share of the train images that is kept, a random choice after all else; 0.01 to 1.

    Confounding, contamination and target share act on train and validation, in exact shares up
    to rounding; the test part never has them. Confounding and target share choose from a larger pool, which costs
    as many renderings as the rarest wanted kind of image asks for: at rho = 1 a little more than twice as many if
    the halves are equal, and three times if one of three classes is the upper half.

    """

    salient_strength: float = 1.0
    noise: float = 0.0
    nuisance: float = 0.0
    confounding: float = 0.0
    confounder: str = ""
    confounding_with: str = "target"
    contamination: float = 0.0
    target_share: float = 0.5
    train_share: float = 1.0

    @property
    def changed(self) -> str:
        """The knobs that are not at their default, as "noise=0.1, ..."."""
        values = ((knob, getattr(self, knob.name)) for knob in fields(self))
        return ", ".join(f"{knob.name}={value}" for knob, value in values if value != knob.default)

    def check(self, name: str, factors: tuple[Factor, ...]) -> None:
        """Raise UserError if a knob makes no sense for the data set `name` with these factors."""
        for knob, (low, high) in RANGES.items():
            if not low <= getattr(self, knob) <= high:
                raise UserError(f"{knob} of '{name}' lies between {low:g} and {high:g}, not {getattr(self, knob)}.")
        common = [factor.name for factor in factors if factor.home == "common"]
        hint = did_you_mean(self.confounder, common)
        if self.confounding and not self.confounder:
            raise UserError(f"confounding of '{name}' needs a common factor as its confounder.{hint}")
        if self.confounder and self.confounder not in common:
            raise UserError(f"'{name}' has no common factor '{self.confounder}' to be the confounder.{hint}")
        partners = ["target", *(f.name for f in factors if f.home == "salient" and f.rows == "target")]
        if self.confounding_with not in partners:
            hint = did_you_mean(self.confounding_with, partners)
            raise UserError(f"confounding_with of '{name}' cannot be '{self.confounding_with}'.{hint}")


@dataclass(frozen=True)
class Counterfactuals:
    """Background images, each with the salient content of a target image: what a swap of codes should give.

    Attributes:
        rows: int (m, 2), the background image and its donor, as rows of `view`.
        background: uint8 (m, channels, ...), what gives the common content.
        donors: uint8 (m, channels, ...), the target images that give the salient content.
        composites: the true composites and their labels: common ones of the background, salient ones of the donor.

    """

    rows: np.ndarray
    background: np.ndarray
    donors: np.ndarray
    composites: Rendered


def view(dataset: Dataset, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
    """Render with strength, nuisance and noise: `Dataset.synthetic` if these are at their defaults."""
    knobs = dataset.difficulty
    # A data set of somebody else's may render no counterfactuals; without these knobs it need not.
    rendered = dataset.synthetic(n, seed, part) if wear is None else dataset.synthetic(n, seed, part, wear)
    x = rendered.x
    if knobs.salient_strength != 1:
        x = fade(x, dataset.synthetic(n, seed, part, np.full(n, -1)).x, knobs.salient_strength)
    if knobs.nuisance:
        x = disturb(x, knobs.nuisance, numpy_stream(seed, "difficulty", "nuisance"))
    if knobs.noise:
        x = add_noise(x, knobs.noise, numpy_stream(seed, "difficulty", "noise"))
    return replace(rendered, x=x)


def render(dataset: Dataset, n: int, seed: int, part: str) -> Rendered:
    """Render a part with every knob; in the test part none chooses or relabels images.

    Raises:
        UserError: the renderer gives too few images of a kind that the knobs ask for.

    """
    knobs = dataset.difficulty
    if part == "test":
        return view(dataset, n, seed, part)
    selects = knobs.confounding or knobs.target_share != 0.5
    rendered = _select(dataset, n, seed, part) if selects else view(dataset, n, seed, part)
    if knobs.contamination:
        rng = numpy_stream(seed, "difficulty", "contamination")
        rendered = contaminate(rendered, dataset.factors, knobs.contamination, rng)
    if knobs.train_share < 1 and part == "train":
        order = numpy_stream(seed, "difficulty", "train_share").permutation(n)
        rendered = _rows(rendered, np.sort(order[: round(knobs.train_share * n)]))
    return rendered


def salient_masks(dataset: Dataset, n: int, seed: int, part: str, threshold: int = MASK_THRESHOLD) -> np.ndarray:
    """Return bool (n, height, width) or (n, depth, height, width): where the images of `view` show salient content.

    There the image differs by more than `threshold` grey levels, in any channel, from itself without its salient
    content. Rows are those of the loaded test part if `n` is its size and `seed` is
    `dataset.part_seed("test")`.
    """
    own, bare = (view(dataset, n, seed, part, wear).x for wear in (None, np.full(n, -1)))
    return np.asarray((np.maximum(own, bare) - np.minimum(own, bare) > threshold).any(1))


def counterfactuals(dataset: Dataset, n: int, seed: int, part: str, rng: np.random.Generator) -> Counterfactuals:
    """Return every background image of `view` with the salient content of a target image drawn by `rng`.

    The composite is the image that the renderer gives: same nuisance and noise, no cutting and pasting. The rows
    are those of the loaded test part, as for `salient_masks`.
    """
    own = view(dataset, n, seed, part)
    background = np.flatnonzero(own.y == 0)
    donors = rng.choice(np.flatnonzero(own.y == 1), len(background))
    wear = np.arange(n)
    wear[background] = donors
    composites = _rows(view(dataset, n, seed, part, wear), background)
    return Counterfactuals(np.stack([background, donors], 1), own.x[background], own.x[donors], composites)


def fade(x: np.ndarray, bare: np.ndarray, strength: float) -> np.ndarray:
    """Return bare + strength (x - bare) in uint8; both images have the shape (n, ...)."""
    out = np.empty_like(x)
    for rows in _chunks(len(x)):
        start = bare[rows].astype(np.float32)
        out[rows] = _pixels(start + np.float32(strength) * (x[rows] - start))
    return out


def disturb(x: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Return the images (n, channels, ...) with a gain, an offset and a shift of their own; see `Difficulty`."""
    n, sides = len(x), x.shape[2:]
    gain = 1 + amount * rng.uniform(-GAIN, GAIN, n)
    offset = 255 * amount * rng.uniform(-OFFSET, OFFSET, n)
    shift = [rng.integers(-reach, reach + 1, n) for reach in (round(amount * SHIFT * side) for side in sides)]
    out = np.empty_like(x)
    for i, image in enumerate(x):
        for axis, side in enumerate(sides):
            image = image.take(np.clip(np.arange(side) - shift[axis][i], 0, side - 1), axis + 1)
        out[i] = _pixels(gain[i] * image + offset[i])
    return out


def add_noise(x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return the images (n, ...) with Gaussian noise of standard deviation 255 `share`."""
    out = np.empty_like(x)
    for rows in _chunks(len(x)):
        out[rows] = _pixels(x[rows] + np.float32(255 * share) * rng.standard_normal(x[rows].shape, np.float32))
    return out


def contaminate(
    rendered: Rendered, factors: tuple[Factor, ...], share: float, rng: np.random.Generator
) -> Rendered:
    """Move a share of the target images into the background: y = 0, salient labels NaN, pixels as they are."""
    targets = np.flatnonzero(rendered.y == 1)
    moved = rng.permutation(targets)[: round(share * len(targets))]
    y, labels = rendered.y.copy(), dict(rendered.labels)
    y[moved] = 0
    for factor in factors:
        if factor.home == "salient":
            labels[factor.name] = labels[factor.name].astype(np.float64)
            labels[factor.name][moved] = np.nan
    return replace(rendered, y=y, labels=labels)


def _select(dataset: Dataset, n: int, seed: int, part: str) -> Rendered:
    """Render pool after pool, and keep of each what is still wanted."""
    knobs, pieces = dataset.difficulty, []
    chosen = [f for f in dataset.factors if f.name in (knobs.confounder, knobs.confounding_with)]
    bounds: dict[str, float] = {}
    wanted: dict[int, int] = {}
    for k in range(POOLS):
        pool = view(dataset, max(100, n // 2), stream_seed(seed, "difficulty", "pool", k), part)
        bounds = bounds or {factor.name: _bound(factor, pool.labels[factor.name]) for factor in chosen}
        cells = _cells(pool, knobs, bounds)
        wanted = wanted or _quotas(n, knobs, float((cells >= 4).sum() / max(1, (cells >= 2).sum())))
        rows = np.sort(np.concatenate([np.flatnonzero(cells == c)[:count] for c, count in wanted.items()]))
        wanted = {c: count - int((cells[rows] == c).sum()) for c, count in wanted.items()}
        pieces.append(_rows(pool, rows))
        if not any(wanted.values()):
            return _joined(pieces)
    raise UserError(f"'{dataset.name}' renders too few images for {knobs.changed}; give milder values.")


def _bound(factor: Factor, values: np.ndarray) -> float:
    """Return the value above which the upper half of a factor lies."""
    return (len(factor.classes) - 1) / 2 if factor.classes else float(np.nanmedian(values))


def _cells(pool: Rendered, knobs: Difficulty, bounds: dict[str, float]) -> np.ndarray:
    """Return int (n,): 2 group + 1 if the confounder is in its upper half, and -1 where it is missing.

    Groups: 0 background, 1 target, 2 target in the upper half of the salient factor that is confounded.
    """
    group = pool.y.astype(np.int64)
    if not knobs.confounding:
        return 2 * group
    values, partner = pool.labels[knobs.confounder], knobs.confounding_with
    if partner == "target":
        bound_rows = np.ones(len(group), bool)
    else:
        bound_rows = pool.y == 1  # any background image will do
        group += bound_rows & (pool.labels[partner] > bounds[partner])
    upper = values > bounds[knobs.confounder]
    return np.where(bound_rows & np.isnan(values), -1, 2 * group + (bound_rows & upper))


def _quotas(n: int, knobs: Difficulty, upper_share: float) -> dict[int, int]:
    """Return cell -> number of images; `upper_share` of the target images are in group 2."""
    salient = knobs.confounding_with != "target"
    targets = round(n * knobs.target_share)
    lead = round(targets * upper_share) if salient else targets
    sizes = {0: n - targets, 1: targets - lead, 2: lead} if salient else {0: n - targets, 1: targets}
    wanted: dict[int, int] = {}
    for group, size in sizes.items():
        rho = knobs.confounding if group == max(sizes) else -knobs.confounding
        confounded = knobs.confounding and not (salient and group == 0)
        upper = round(size * (1 + rho) / 2) if confounded else 0
        wanted |= {2 * group: size - upper, 2 * group + 1: upper}
    return wanted


def _rows(rendered: Rendered, rows: np.ndarray) -> Rendered:
    labels = {name: column[rows] for name, column in rendered.labels.items()}
    return replace(rendered, x=rendered.x[rows], y=rendered.y[rows], labels=labels)


def _joined(pieces: list[Rendered]) -> Rendered:
    labels = {name: np.concatenate([piece.labels[name] for piece in pieces]) for name in pieces[0].labels}
    x, y = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("x", "y"))
    return replace(pieces[0], x=x, y=y, labels=labels)


def _chunks(n: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, n, _CHUNK)]


def _pixels(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(values.clip(0, 255)).astype(np.uint8))
