"""What every renderer promises about images that wear another image's salient content."""

import numpy as np
import pytest

from cabench import registry
from cabench.datasets._synthetic import brain, faces
from cabench.datasets._synthetic.sprites import LARGEST, SIDE
from cabench.datasets._synthetic.wear import Wardrobe, exchanged
from cabench.datasets.celeba_accessories import CelebaAccessories
from cabench.datasets.cifar_mnist import CifarMnist
from cabench.datasets.dsprites_grid import DspritesGrid
from cabench.datasets.schizophrenia_mri import SchizophreniaMri
from cabench.difficulty import MASK_THRESHOLD, counterfactuals, salient_masks

# More than one chunk of each renderer.
SIZES = {
    "celeba_accessories": 130,
    "chexpert_subtypes": 230,
    "cifar_mnist": 530,
    "dsprites_grid": 530,
    "odir_subtypes": 130,
    "schizophrenia_mri": 60,
}
SEED = 3


class Shown:
    """A data set, rendered as it is, without its salient content, and with salient content dealt out anew."""

    def __init__(self, name):
        self.dataset = registry.get("dataset", name).load()()
        self.n = SIZES[name]
        self.own = self.worn(None)
        self.bare = self.worn(np.full(self.n, -1))
        self.wear = np.random.default_rng(0).permutation(self.n)
        self.dealt = self.worn(self.wear)

    def worn(self, wear):
        return self.dataset.synthetic(self.n, SEED, "train", wear=wear)


@pytest.fixture(scope="module", params=sorted(registry.find("dataset")))
def shown(request):
    return Shown(request.param)


def same(a, b):
    """Whether two renderings agree in every byte of images, targets and labels."""
    assert set(a.labels) == set(b.labels)
    columns = all(np.array_equal(a.labels[k], b.labels[k], equal_nan=True) for k in a.labels)
    return np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y) and columns


def test_images_that_wear_their_own_content_are_the_same_bytes(shown):
    assert same(shown.worn(np.arange(shown.n)), shown.own)


def test_without_salient_content_a_background_image_stays_and_a_target_image_changes(shown):
    background = shown.own.y == 0
    assert np.array_equal(shown.bare.x[background], shown.own.x[background])
    assert (shown.bare.x[~background] != shown.own.x[~background]).reshape((~background).sum(), -1).any(1).all()
    assert not shown.bare.y.any()


def test_targets_and_salient_labels_follow_the_content_and_common_labels_stay(shown):
    assert np.array_equal(shown.dealt.y, shown.own.y[shown.wear])
    for factor in shown.dataset.factors:
        source = shown.own.labels[factor.name]
        expected = source if factor.home == "common" else source[shown.wear]
        np.testing.assert_array_equal(shown.dealt.labels[factor.name], expected)
        if factor.rows == "target" and factor.home == "salient":
            assert np.isnan(shown.bare.labels[factor.name]).all()


def test_content_of_a_background_image_is_none(shown):
    healthy = shown.own.y[shown.wear] == 0
    assert np.array_equal(shown.dealt.x[healthy], shown.bare.x[healthy])


def test_an_image_does_not_depend_on_what_the_others_wear(shown):
    wear = shown.wear.copy()
    wear[::3] = -1
    mixed = shown.worn(wear)
    assert np.array_equal(mixed.x[::3], shown.bare.x[::3])
    assert np.array_equal(mixed.x[1::3], shown.dealt.x[1::3])


# The others' main factor is a score or a place, which has no form besides its value.
FORMED = ("celeba_accessories", "chexpert_subtypes", "cifar_mnist", "odir_subtypes")


@pytest.mark.parametrize("shown", FORMED, indirect=True, scope="module")
def test_two_lenders_with_the_same_label_still_lend_their_own_form(shown):
    """Form is salient too: the handwriting of a digit, the frame of glasses, the place of a lesion."""
    main = next(f for f in shown.dataset.factors if f.main)
    lenders = np.flatnonzero(shown.own.labels[main.name] == 1)
    first, second = lenders[0], lenders[-1]
    one, two = (shown.worn(np.full(shown.n, lender)) for lender in (first, second))
    assert (one.x != two.x).reshape(shown.n, -1).any(1).all()
    assert np.array_equal(one.x[first], shown.own.x[first])
    assert np.array_equal(two.x[second], shown.own.x[second])


def test_masks_are_empty_on_background_and_never_on_targets(shown):
    masks = salient_masks(shown.dataset, shown.n, SEED, "train")
    assert masks.shape == (shown.n, *shown.own.x.shape[2:]) and masks.dtype == bool
    assert np.array_equal(masks.reshape(shown.n, -1).any(1), shown.own.y == 1)
    # Outside its mask an image is the image without salient content, within the stated threshold.
    apart = np.abs(shown.own.x.astype(int) - shown.bare.x).max(1)
    assert apart[~masks].max() <= MASK_THRESHOLD < apart[masks].min()


def test_counterfactuals_are_what_the_renderer_gives_for_that_image_with_that_content(shown):
    pairs = counterfactuals(shown.dataset, shown.n, SEED, "train", np.random.default_rng(1))
    background, donors = pairs.rows.T
    assert np.array_equal(background, np.flatnonzero(shown.own.y == 0))
    assert (shown.own.y[donors] == 1).all()
    assert np.array_equal(pairs.background, shown.own.x[background])
    assert np.array_equal(pairs.donors, shown.own.x[donors])
    wear = np.full(shown.n, -1)
    wear[background] = donors
    assert np.array_equal(pairs.composites.x, shown.worn(wear).x[background])
    assert (pairs.composites.y == 1).all()
    for factor in shown.dataset.factors:
        rows = background if factor.home == "common" else donors
        np.testing.assert_array_equal(pairs.composites.labels[factor.name], shown.own.labels[factor.name][rows])


def test_a_sprite_is_worn_where_its_labels_say_and_the_mask_lies_there():
    dataset, n = DspritesGrid(), 60
    masks = salient_masks(dataset, n, SEED, "test")
    rendered = dataset.synthetic(n, SEED, "test")
    axis, target = np.arange(SIDE) + 0.5, rendered.y == 1
    mass = masks[target].sum((1, 2))
    for name, along in (("x", axis), ("y", axis[:, None])):
        centre = (masks[target] * along).sum((1, 2)) / mass
        # A heart's centre of mass is not the point that it turns about.
        assert np.abs(centre - LARGEST - (SIDE - 2 * LARGEST) * rendered.labels[name][target]).max() < 3
    radius = LARGEST * rendered.labels["scale"][target]
    assert ((mass > 0.9 * radius**2) & (mass < 4 * radius**2)).all()


def test_a_digit_is_the_same_ink_on_every_object():
    dataset, n = CifarMnist(), 40
    wear = np.roll(np.arange(n), n // 2)
    own, bare, dealt = (dataset.synthetic(n, SEED, "test", wear=w) for w in (None, np.full(n, -1), wear))
    ink = own.x.astype(int) - bare.x
    assert np.abs((dealt.x.astype(int) - bare.x) - ink[wear]).max() <= 1  # rounding


def test_glasses_are_worn_at_the_eyes_and_hats_above():
    dataset, n = CelebaAccessories(), 120
    masks, rendered = salient_masks(dataset, n, SEED, "test"), dataset.synthetic(n, SEED, "test")
    target = rendered.y == 1
    height = (masks[target] * np.arange(64)[:, None]).sum((1, 2)) / masks[target].sum((1, 2))
    hat = rendered.labels["accessory"][target] == 1
    assert height[hat].mean() + 8 < height[~hat].mean()
    assert masks[target].mean() < 0.2


def test_a_face_with_another_accessory_is_the_same_person():
    people = faces.draw_people(30, np.random.default_rng(5))
    wear = np.random.default_rng(6).permutation(30)
    worn, bare = faces.render(people, 7, wear), faces.render(people, 7, np.full(30, -1))
    assert np.array_equal(people.wearing(wear).age, people.age)
    # Under a hat or behind glasses lies less than a third of the picture; all else is the same.
    assert (worn != bare).any(1).mean((1, 2)).max() < 0.35


def test_every_draw_of_an_accessory_goes_to_its_wearer():
    drawn, exchanges = [], []

    class Spy(faces._Draw):
        def uniform(self, low, high):
            drawn.append(low)
            return super().uniform(low, high)

        def choice(self, palette, spread):
            drawn.append(spread)
            return super().choice(palette, spread)

    people = faces.draw_people(3, np.random.default_rng(0))
    portraits = faces._Portraits(people, Spy(np.random.default_rng(0)), lambda v: exchanges.append(v) or v)
    portraits._scene()
    assert drawn and not exchanges
    drawn.clear()
    portraits._glasses()
    portraits._hat()
    assert len(exchanges) == len(drawn) > 10


def test_a_brain_with_another_score_is_the_same_brain():
    people = brain.draw_subjects(40, np.random.default_rng(2))
    wear = np.random.default_rng(4).permutation(40)
    dealt = people.wearing(wear)
    for name in ("y", "sans", "saps"):
        np.testing.assert_array_equal(getattr(dealt, name), getattr(people, name)[wear])
    for name in ("age", "sex", "site"):
        np.testing.assert_array_equal(getattr(dealt, name), getattr(people, name))


def test_worse_symptoms_change_more_of_the_brain():
    dataset, n = SchizophreniaMri(), 96
    masks, labels = salient_masks(dataset, n, SEED, "test"), dataset.synthetic(n, SEED, "test").labels
    sick = labels["diagnosis"] == 1
    burden = labels["sans"][sick] / brain.SANS[1] + labels["saps"][sick] / brain.SAPS[1]
    assert np.corrcoef(masks[sick].sum((1, 2, 3)), burden)[0, 1] > 0.6


def test_a_wardrobe_deals_out_draws_across_chunks():
    wear = np.array([4, -1, 0, 3, 1])
    wardrobe, chunks = Wardrobe(wear), (slice(0, 3), slice(3, 5))
    draws = np.arange(10.0).reshape(5, 2)
    for rows in chunks:
        keep = wardrobe.keep(rows)
        assert np.array_equal(keep(draws[rows]), draws[rows])
        keep(-draws[rows])
    for rows in chunks:
        lend = wardrobe.lend(rows)
        for sign in (1, -1):
            dealt, lenders = lend(sign * draws[rows]), wear[rows]
            assert np.array_equal(dealt[lenders >= 0], sign * draws[lenders[lenders >= 0]])


def test_values_are_bare_where_nothing_is_worn():
    assert exchanged(np.array([5, 6, 7]), np.array([2, -1, 0]), -1).tolist() == [7, -1, 5]
    values = np.array([5, 6])
    assert exchanged(values, None, -1) is values
