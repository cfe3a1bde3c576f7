"""Random views: drawn per image, reproducible, and the whole image when nothing is asked for."""

import numpy as np
import pytest
import torch

from cabench.augment.views import canvas, views, whole
from cabench.codes import Augmentation, Split

SHAPES = {
    "colour": (3, 24, 24),
    "grey": (1, 24, 24),
    "wide": (3, 20, 33),
    "volume": (1, 20, 20, 20),
    "cuboid": (1, 18, 20, 24),
}
CHANGES = {
    "crop": {"crop": 0.3},
    "shift": {"shift": 0.3},
    "flip": {"flip": 0.5},
    "rotation": {"rotation": 45.0},
    "brightness": {"brightness": 0.4, "jitter": 1.0},
    "contrast": {"contrast": 0.4, "jitter": 1.0},
    "saturation": {"saturation": 0.8, "jitter": 1.0},
    "hue": {"hue": 0.3, "jitter": 1.0},
    "grey": {"grey": 0.5},
    "noise": {"noise": 0.2},
    "cutout": {"cutout": 0.4},
}
COLOUR_ONLY = {"saturation", "hue", "grey"}
EVERYTHING = {key: value for change in CHANGES.values() for key, value in change.items()}


def images(shape, n=8, seed=0):
    x = np.random.default_rng(seed).integers(40, 200, (n, *shape), dtype=np.uint8)
    return torch.from_numpy(x)


def copies(shape, n=12):
    """n times the same image."""
    return images(shape, 1).repeat(n, *[1] * len(shape))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("size", [8, 12, 16])
def test_no_augmentation_gives_the_whole_image(shape, size):
    x = images(shape)
    assert torch.equal(views(x, Augmentation(size), generator()), whole(x, size))


@pytest.mark.parametrize(
    ("shape", "change"),
    [(s, c) for s in SHAPES.values() for c in CHANGES if s[0] == 3 or c not in COLOUR_ONLY],
    ids=str,
)
def test_each_image_gets_its_own_draw(shape, change):
    view = views(copies(shape), Augmentation(12, **CHANGES[change]), generator())
    kinds = {tuple(image.flatten().tolist()) for image in view}
    few = change in ("flip", "grey")  # two outcomes each
    assert len(kinds) == 2 if few else len(kinds) > 6


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_views_are_reproducible_floats_in_range(shape):
    x, augmentation = images(shape), Augmentation(12, **EVERYTHING)
    before = torch.get_rng_state()
    first, again, other = (views(x, augmentation, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.dtype == torch.float32 and first.shape == (8, shape[0], *[12] * (len(shape) - 1))
    assert first.min() >= 0 and first.max() <= 1


@pytest.mark.parametrize("kind", ["colour", "grey", "volume"])
def test_a_sure_flip_mirrors_left_and_right(kind):
    x, side = images(SHAPES[kind]), SHAPES[kind][-1]
    flipped = views(x, Augmentation(side, flip=1.0), generator())
    torch.testing.assert_close(flipped, whole(x, side).flip(-1), atol=1e-5, rtol=0)


def test_a_constant_image_keeps_its_value_under_every_geometric_change():
    x = torch.full((6, 3, 20, 20), 100, dtype=torch.uint8)
    view = views(x, Augmentation(12, crop=0.3, shift=0.3, flip=0.5, rotation=30), generator())
    torch.testing.assert_close(view, torch.full_like(view, 100 / 255), atol=1e-5, rtol=0)


def test_dropping_the_colour_keeps_the_luminance():
    x = images((3, 12, 12))
    grey = views(x, Augmentation(12, grey=1.0), generator())
    luminance = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), x.float() / 255)
    for channel in range(3):
        torch.testing.assert_close(grey[:, channel], luminance, atol=2e-3, rtol=0)


def test_cutout_erases_one_square_of_about_the_asked_size():
    x = torch.full((40, 1, 20, 20), 255, dtype=torch.uint8)
    erased = (views(x, Augmentation(20, cutout=0.5), generator()) == 0).flatten(1).float().mean(1)
    assert erased.max() <= 0.31 and erased.min() > 0.03  # a quarter, less at the border


def test_jitter_is_the_share_of_images_that_change():
    x = copies((3, 8, 8), 400)
    view = views(x, Augmentation(8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, jitter=0.8), generator())
    changed = ((view - whole(x, 8)).abs().flatten(1).amax(1) > 1e-4).float().mean()
    assert changed.item() == pytest.approx(0.8, abs=0.07)


@pytest.mark.parametrize(("side", "size"), [(32, 32), (32, 24), (64, 32), (49, 24), (50, 24), (16, 24)])
def test_the_whole_image_keeps_mean_and_borders(side, size):
    x = torch.zeros((1, 1, side, side), dtype=torch.uint8)
    x[..., -1:, :] = 255  # only the last row is bright
    view = whole(x, size)
    assert view.shape == (1, 1, size, size)
    assert view[..., -1, :].min() > 0.2 * min(1, size / side)
    assert view.mean().item() == pytest.approx(1 / side, rel=0.5)


def test_a_split_without_augmentation_is_seen_as_it_is():
    x = images((3, 16, 24)).numpy()
    seen = canvas(Split(x, np.arange(8) % 2))
    assert (seen.channels, seen.size, seen.axes) == (3, 16, 2)


def test_colours_change_as_one_change_after_the_other():
    """Saturation and hue in YIQ, grey, brightness, contrast about the image's mean: one image at a time."""
    x = images((3, 12, 12), n=20)
    a = Augmentation(12, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.3, jitter=0.7)
    u = [torch.rand(20, generator=g) for g in [generator()] for _ in range(6)]
    view = views(x, a, generator())
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]).double()
    for i, image in enumerate(x.double() / 255):
        on = float(u[0][i] < a.jitter)
        y, p, q = (to_yiq @ image.flatten(1)) * torch.tensor([[1.0]] + [[1 + on * 0.4 * (2 * u[1][i] - 1)]] * 2)
        turned = (p + 1j * q) * torch.polar(torch.ones(()), on * 2 * torch.pi * 0.1 * (2 * u[2][i] - 1))
        turned = turned * (u[3][i] >= a.grey)
        image = torch.linalg.inv(to_yiq) @ torch.stack([y, turned.real, turned.imag])
        brightness, contrast = (1 + on * 0.4 * (2 * u[k][i] - 1) for k in (4, 5))
        image = brightness * (contrast * (image - image.mean()) + image.mean())
        torch.testing.assert_close(view[i].flatten(1).double(), image.clamp(0, 1), atol=1e-5, rtol=0)
