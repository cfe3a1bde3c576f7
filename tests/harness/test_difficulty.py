"""The difficulty knobs do what they say, to the parts that they name, and nothing at their defaults."""

import numpy as np
import pytest

from cabench import registry
from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Rendered
from cabench.datasets.celeba_accessories import CelebaAccessories
from cabench.datasets.schizophrenia_mri import SchizophreniaMri
from cabench.difficulty import (
    RANGES,
    Difficulty,
    add_noise,
    contaminate,
    counterfactuals,
    disturb,
    fade,
    render,
    salient_masks,
    view,
)
from cabench.errors import UserError

N, SEED = 400, 11
LEARNING = ("train", "validation")


@pytest.fixture(scope="module")
def toy():
    from conftest import PLUGINS

    return registry.get("dataset", "toy", [PLUGINS / "toy.py"]).load()


class Old(Dataset):
    """A data set as it was written before there were knobs and counterfactuals."""

    name = "old"
    title = modality = licence = obtain = "none"
    factors = (Factor("level", "common", "all"),)
    augmentation = Augmentation(size=4)
    sizes = {"smoke": (8, 6, 4), "quick": (8, 6, 4), "paper": (8, 6, 4)}

    def __init__(self, *, noise=3.0):
        self.noise = noise

    def synthetic(self, n, seed, part):
        x = np.random.default_rng(seed).integers(0, 99, (n, 1, 4, 4)).astype(np.uint8)
        return Rendered(x, np.arange(n) % 2, {"level": np.arange(n, dtype=float)})


class Gappy(Old):
    """Its common factor is missing on background rows."""

    def __init__(self, **knobs):
        Dataset.__init__(self, **knobs)

    def synthetic(self, n, seed, part):
        rendered = super().synthetic(n, seed, part)
        rendered.labels["level"][rendered.y == 0] = np.nan
        return rendered


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def test_the_defaults_change_no_byte(toy):
    splits = toy().load(tier="smoke")
    for part in ("train", "validation", "test"):
        dataset, split = toy(), getattr(splits, part)
        plain = dataset.synthetic(len(split), dataset.part_seed(part), part)
        assert np.array_equal(split.x, plain.x) and np.array_equal(split.y, plain.y)


def test_a_share_of_the_train_images_is_kept_and_nothing_else_changes(toy):
    whole, part = toy().load(tier="smoke"), toy(train_share=0.3).load(tier="smoke")
    assert len(part.train) == 24
    known = {image.tobytes(): i for i, image in enumerate(whole.train.x)}
    rows = [known[image.tobytes()] for image in part.train.x]
    assert rows == sorted(set(rows)) and np.array_equal(part.train.y, whole.train.y[rows])
    assert np.array_equal(part.validation.x, whole.validation.x) and np.array_equal(part.test.x, whole.test.x)
    groups = [set(split.groups) for split in (part.train, part.validation, part.test)]
    assert not groups[0] & groups[1] and not groups[1] & groups[2]


def test_a_data_set_without_knobs_or_counterfactuals_still_loads():
    splits = Old(noise=2.0).load(tier="smoke")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [8, 6, 4]
    assert np.array_equal(splits.test.x, Old().load(tier="smoke").test.x)


def test_the_same_knobs_give_the_same_bytes_and_another_data_seed_others(toy):
    knobs = {
        "salient_strength": 0.7,
        "noise": 0.05,
        "nuisance": 0.5,
        "confounding": 0.5,
        "confounder": "bar",
        "contamination": 0.1,
        "target_share": 0.4,
    }
    one, two, other = (toy(data_seed=seed, **knobs).load(tier="smoke") for seed in (0, 0, 1))
    for part in ("train", "validation", "test"):
        assert getattr(one, part).digest() == getattr(two, part).digest()
        assert getattr(one, part).digest() != getattr(other, part).digest()


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.7])
def test_salient_strength_blends_between_the_image_and_itself_without_content(toy, strength):
    x, bare = (toy().synthetic(N, SEED, "test", wear=wear).x.astype(float) for wear in (None, np.full(N, -1)))
    seen = view(toy(salient_strength=strength), N, SEED, "test")
    expected = np.clip(bare + strength * (x - bare), 0, 255)
    assert np.abs(seen.x - expected).max() <= 0.51
    if strength == 0:
        assert np.array_equal(seen.x, bare)


def test_noise_has_the_stated_deviation(toy):
    grey = np.full((600, 1, 8, 8), 128, np.uint8)
    noisy = add_noise(grey, 0.1, np.random.default_rng(0)) - 128.0
    assert noisy.std() == pytest.approx(25.5, rel=0.01)
    assert abs(noisy.mean()) < 0.5
    seen, plain = view(toy(noise=0.02), N, SEED, "train"), view(toy(), N, SEED, "train")
    clear = (plain.x > 30) & (plain.x < 220)
    assert (seen.x[clear].astype(float) - plain.x[clear]).std() == pytest.approx(5.1, rel=0.05)


def test_nuisance_stays_within_its_stated_amounts_and_reaches_them():
    grey = np.full((2000, 1, 32, 32), 100, np.uint8)
    level = disturb(grey, 1.0, np.random.default_rng(0))[:, 0, 0, 0].astype(float)
    assert 70 - 25.5 - 1 <= level.min() < 60 and 140 < level.max() <= 130 + 25.5 + 1
    point = np.zeros((2000, 1, 32, 32), np.uint8)
    point[:, 0, 16, 16] = 255
    _, _, row, column = np.nonzero(disturb(point, 1.0, np.random.default_rng(1)) > 140)
    assert len(row) == 2000
    assert {row.min(), column.min()} == {14} and {row.max(), column.max()} == {18}
    assert abs(correlation(row, column)) < 0.1
    half = disturb(grey, 0.5, np.random.default_rng(0))[:, 0, 0, 0].astype(float)
    assert np.abs(half - 100).max() < np.abs(level - 100).max() * 0.55


def test_nuisance_moves_volumes_too():
    x = np.zeros((50, 1, 32, 32, 32), np.uint8)
    x[:, 0, 16, 16, 16] = 255
    places = np.argwhere(disturb(x, 1.0, np.random.default_rng(0)) > 140)[:, 2:]
    assert len(places) == 50
    assert (places.min(0) == 14).all() and (places.max(0) == 18).all()


@pytest.mark.parametrize("rho", [-1.0, -0.5, 0.3, 1.0])
@pytest.mark.parametrize("part", LEARNING)
def test_the_confounder_correlates_with_the_target_by_rho(toy, rho, part):
    rendered = render(toy(confounding=rho, confounder="bar"), N, SEED, part)
    assert len(rendered.x) == len(rendered.y) == N
    assert rendered.y.mean() == 0.5
    assert correlation(rendered.y, rendered.labels["bar"]) == pytest.approx(rho, abs=1e-9)
    # Labels still speak of their own image.
    bars = rendered.x[:, 0, 4, 7].astype(int) - rendered.x[:, 0, 7, 4]
    assert np.array_equal(bars < 0, rendered.labels["bar"] == 1)
    assert len({image.tobytes() for image in rendered.x}) == N


def test_a_confounder_with_values_is_split_at_its_median():
    rendered = render(CelebaAccessories(confounding=0.6, confounder="age"), N, SEED, "train")
    old = rendered.labels["age"] > 50  # ages are uniform between 20 and 80
    assert old[rendered.y == 1].mean() == pytest.approx(0.8, abs=0.08)
    assert old[rendered.y == 0].mean() == pytest.approx(0.2, abs=0.08)
    assert abs(correlation(rendered.y, rendered.labels["sex"])) < 0.15
    kinds = rendered.labels["accessory"][rendered.y == 1]
    assert 0.35 < kinds.mean() < 0.65


def test_of_three_classes_the_last_is_the_upper_half():
    rendered = render(SchizophreniaMri(confounding=1.0, confounder="site"), 60, SEED, "train")
    assert set(rendered.labels["site"][rendered.y == 1]) == {2}
    assert set(rendered.labels["site"][rendered.y == 0]) == {0, 1}


@pytest.mark.parametrize("rho", [-0.8, 0.5, 1.0])
def test_a_salient_factor_is_confounded_among_targets_alone(toy, rho):
    rendered = render(toy(confounding=rho, confounder="bar", confounding_with="glow"), N, SEED, "train")
    target, bar, glow = rendered.y == 1, rendered.labels["bar"], rendered.labels["glow"]
    assert target.mean() == 0.5
    for half, share in ((1, (1 + rho) / 2), (0, (1 - rho) / 2)):
        rows = target & (glow == half)
        assert abs(bar[rows].sum() - share * rows.sum()) <= 0.5
    assert 0.4 < glow[target].mean() < 0.6
    assert abs(correlation(rendered.y, bar)) < 0.15


@pytest.mark.parametrize("part", LEARNING)
def test_contamination_moves_the_exact_share_and_leaves_the_pixels(toy, part):
    plain, rendered = (render(toy(**knobs), N, SEED, part) for knobs in ({}, {"contamination": 0.15}))
    moved = (plain.y == 1) & (rendered.y == 0)
    assert moved.sum() == 30 == (plain.y != rendered.y).sum()
    assert np.array_equal(plain.x, rendered.x)
    assert np.isnan(rendered.labels["glow"][moved]).all()
    assert np.array_equal(np.isnan(rendered.labels["glow"]), rendered.y == 0)
    assert np.array_equal(plain.labels["bar"], rendered.labels["bar"])


def test_contamination_hides_a_salient_label_of_all_rows():
    factors = (Factor("diagnosis", "salient", "all", ("no", "yes")),)
    plain = Rendered(np.zeros((10, 1, 2, 2), np.uint8), np.ones(10, int), {"diagnosis": np.ones(10, int)})
    rendered = contaminate(plain, factors, 0.3, np.random.default_rng(0))
    assert np.isnan(rendered.labels["diagnosis"]).sum() == 3 == (rendered.y == 0).sum()
    assert plain.y.all() and plain.labels["diagnosis"].all()


@pytest.mark.parametrize("share", [0.1, 0.29, 0.9])
@pytest.mark.parametrize("part", LEARNING)
def test_target_share_is_exact(toy, share, part):
    rendered = render(toy(target_share=share), N, SEED, part)
    assert rendered.y.sum() == round(share * N)
    assert len(rendered.y) == N


def test_the_knobs_of_choice_go_together(toy):
    knobs = {"confounding": 0.5, "confounder": "bar", "target_share": 0.25, "contamination": 0.2}
    clean = render(toy(**knobs | {"contamination": 0.0}), N, SEED, "train")
    rendered = render(toy(**knobs), N, SEED, "train")
    assert clean.y.sum() == 100 and rendered.y.sum() == 80
    assert clean.labels["bar"][clean.y == 1].mean() == 0.75
    assert clean.labels["bar"][clean.y == 0].mean() == pytest.approx(0.25, abs=0.002)


def test_the_test_part_is_never_confounded_contaminated_or_unbalanced(toy):
    knobs = {"confounding": 1.0, "confounder": "bar", "target_share": 0.2, "contamination": 0.3}
    plain, hard = (toy(**k).load(tier="smoke") for k in ({}, knobs))
    assert hard.test.digest() == plain.test.digest()
    assert hard.train.digest() != plain.train.digest() and hard.validation.digest() != plain.validation.digest()


@pytest.mark.parametrize("knobs", [{"noise": 0.1}, {"salient_strength": 0.5}, {"nuisance": 1.0}])
def test_strength_noise_and_nuisance_act_on_every_part_and_on_pixels_alone(toy, knobs):
    plain, hard = (toy(**k).load(tier="smoke") for k in ({}, knobs))
    for part in ("train", "validation", "test"):
        before, after = getattr(plain, part), getattr(hard, part)
        assert not np.array_equal(before.x, after.x)
        assert np.array_equal(before.y, after.y)
        for name in before.labels:
            np.testing.assert_array_equal(before.labels[name], after.labels[name])


def test_masks_belong_to_the_loaded_test_part_and_lie_at_the_corner(toy):
    dataset = toy()
    test = dataset.load(tier="smoke").test
    masks = salient_masks(dataset, len(test), dataset.part_seed("test"), "test")
    expected = np.zeros((len(test), 8, 8), bool)
    expected[test.y == 1, :2, :2] = True
    assert np.array_equal(masks, expected)


def test_masks_and_composites_follow_the_knobs_of_the_pixels(toy):
    dataset = toy(noise=0.05, nuisance=0.3, salient_strength=0.8)
    seen = view(dataset, N, SEED, "test")
    pairs = counterfactuals(dataset, N, SEED, "test", np.random.default_rng(0))
    apart = np.abs(pairs.composites.x.astype(int) - pairs.background)[:, 0]
    # The composite has the noise, gain, offset and shift of its background image: they differ at the corner alone.
    assert not apart[:, 4:, 4:].any()
    assert apart[:, 0, 0].min() > 0
    masks = salient_masks(dataset, N, SEED, "test")
    assert masks[seen.y == 1, 0, 0].all() and not masks[:, 4:, 4:].any() and not masks[seen.y == 0].any()
    assert not salient_masks(toy(salient_strength=0.0), N, SEED, "test").any()


def test_fade_is_exact_at_both_ends():
    x, bare = np.random.default_rng(0).integers(0, 256, (2, 700, 1, 4, 4)).astype(np.uint8)
    assert np.array_equal(fade(x, bare, 1.0), x) and np.array_equal(fade(x, bare, 0.0), bare)


@pytest.mark.parametrize("knob", RANGES)
def test_a_value_out_of_range_is_refused_with_the_range(toy, knob):
    low, high = RANGES[knob]
    for value in (low - 0.01, high + 0.01, float("nan")):
        with pytest.raises(UserError, match=f"{knob} of 'toy' lies between {low:g} and {high:g}"):
            toy(**{"confounder": "bar", knob: value})
    for value in (low, high):
        toy(**{"confounder": "bar", knob: value})


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"confounding": 0.5}, "needs a common factor as its confounder. Known: bar."),
        ({"confounding": 0.5, "confounder": "bart"}, "no common factor 'bart' .* Did you mean 'bar'?"),
        ({"confounding": 0.5, "confounder": "glow"}, "no common factor 'glow'"),
        ({"confounder": "bart"}, "Did you mean 'bar'?"),
        ({"confounding_with": "glo"}, "cannot be 'glo'. Did you mean 'glow'?"),
        ({"confounding_with": "bar"}, "cannot be 'bar'. Known: glow, target."),
    ],
)
def test_a_factor_that_cannot_be_confounded_is_refused_with_those_that_can(toy, knobs, sentence):
    with pytest.raises(UserError, match=sentence):
        toy(**knobs)


@pytest.mark.parametrize(
    "knobs",
    [
        {"salient_strength": 0.5},
        {"noise": 0.1},
        {"nuisance": 0.1},
        {"confounding": 0.1, "confounder": "bar"},
        {"contamination": 0.1},
        {"target_share": 0.4},
    ],
)
def test_the_real_source_takes_no_knob(toy, tmp_path, knobs):
    with pytest.raises(UserError, match=r"'toy' takes .*=0\.\d.* on its synthetic source only"):
        toy(**knobs).load("real", tmp_path)


def test_a_selection_that_cannot_be_had_is_given_up_in_a_sentence():
    with pytest.raises(UserError, match=r"'old' renders too few images for confounding=0\.5, confounder=level"):
        render(Gappy(confounding=0.5, confounder="level"), N, SEED, "train")


def test_changed_names_what_is_not_at_its_default():
    assert Difficulty().changed == ""
    assert Difficulty(noise=0.1, confounder="bar").changed == "noise=0.1, confounder=bar"


@pytest.mark.parametrize(
    ("knobs", "source", "sentence"),
    [
        ("noise=9", "synthetic", "noise of 'toy' lies between 0 and 0.5, not 9.0."),
        ("confounding=1,confounder=bart", "synthetic", "Did you mean 'bar'?"),
        ("noise=0.1", "real", "'toy' takes noise=0.1 on its synthetic source only"),
    ],
)
def test_a_refused_knob_stops_the_command_with_exit_2(cabench, plugins, knobs, source, sentence):
    done = cabench(
        *["run", "--methods", "corner", "--datasets", f"toy[{knobs}]", "--tier", "smoke", "--source", source],
        *["--plugin", plugins / "toy.py", "--plugin", plugins / "corner.py"],
    )
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_a_knob_reaches_the_data_from_the_command_line(cabench, plugins):
    done = cabench(
        *["run", "--methods", "corner", "--datasets", "toy[contamination=0.2,target_share=0.4]", "--tier", "smoke"],
        *["--plugin", plugins / "toy.py", "--plugin", plugins / "corner.py"],
    )
    assert done.returncode == 0, done.stderr
