import numpy as np
import pytest

from cabench.datasets._synthetic.sprites import LARGEST, SIDE, render_sprites
from cabench.datasets.dsprites_grid import DspritesGrid, _slant

SALIENT = ("shape", "scale", "orientation", "x", "y")


@pytest.fixture(scope="module")
def split():
    return DspritesGrid().load(tier="smoke").train


def test_shape_balance_and_type(split):
    assert split.x.shape == (400, 1, 64, 64) and split.x.dtype == np.uint8
    assert split.y.mean() == 0.5


def test_a_background_image_has_no_attributes_of_a_sprite(split):
    for name in SALIENT:
        assert np.isnan(split.labels[name][split.y == 0]).all()
        assert not np.isnan(split.labels[name][split.y == 1]).any()


def test_common_factors_are_there_on_all_rows(split):
    for name in set(split.labels) - {*SALIENT, "target"}:
        assert np.isfinite(split.labels[name]).all()
        assert split.labels[name].std() > 0


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_a_sprite_stands_where_its_labels_say(shape):
    x, y = np.array([0.1, 0.5, 0.9]), np.array([0.8, 0.5, 0.2])
    masks = render_sprites(np.full(3, shape), np.full(3, 0.8), np.zeros(3), x, y)
    axis = np.arange(SIDE) + 0.5
    room = SIDE - 2 * LARGEST
    mass = masks.sum((1, 2))
    assert np.abs((masks * axis).sum((1, 2)) / mass - (LARGEST + room * x)).max() < 0.5
    assert np.abs((masks * axis[:, None]).sum((1, 2)) / mass - (LARGEST + room * y)).max() < 2.0


def test_a_larger_scale_covers_more():
    one = np.ones(1)
    areas = [render_sprites(0 * one, s * one, 0 * one, one / 2, one / 2).sum() for s in (0.65, 0.8, 1.0)]
    assert areas[0] < areas[1] < areas[2]
    assert areas[2] / areas[0] == pytest.approx((1 / 0.65) ** 2, rel=0.1)


def test_slant_is_the_shear_of_a_bar():
    rows, columns = np.mgrid[:33, :33]
    bars = np.stack([np.abs(columns - 16 - k * (rows - 16)) <= 1 for k in (-0.3, 0.0, 0.3)]).astype(float)
    assert _slant(bars) == pytest.approx([-0.3, 0.0, 0.3], abs=0.02)
