"""The linear methods against slow float64 transcriptions of METHODS 2.13, on images that no fit has seen."""

import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_info

from cabench.codes import SPACES, Augmentation, Split
from cabench.errors import UserError
from cabench.method import Context
from cabench.methods._linear import leading_beside, top_axes
from cabench.methods.cpca import ALPHAS, CPCA, best_alpha
from cabench.methods.cpca_plus_plus import CPCAPlusPlus
from cabench.methods.pca import BackgroundPCA
from cabench.methods.pixels import Pixels

DIMS = {"common_dim": 4, "salient_dim": 3}
PAIRS = [BackgroundPCA, CPCA, CPCAPlusPlus]
FIXED = {"alpha_choice": "fixed", "alpha": 0.7}


def rows(split):
    """Return the pixels of square images as float64 rows."""
    return split.x.reshape(len(split), -1) / 255.0


def slow_covariance(x, centre):
    """Return the mean of outer products about `centre`, image by image."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for row in x:
        total += np.outer(row - centre, row - centre)
    return total / len(x)


def unbiased(x):
    return slow_covariance(x, x.mean(0)) * len(x) / (len(x) - 1)


def deflate(matrix, basis):
    rest = np.eye(len(matrix)) - basis @ basis.T
    return rest @ matrix @ rest


def leading(matrix, dim):
    return np.linalg.eigh(matrix)[1][:, ::-1][:, :dim]


def assert_same_up_to_sign(got, expected, tolerance=1e-3):
    """Compare codes (n, d) whose columns may be mirrored, relative to their size."""
    assert got.shape == expected.shape
    signs = np.sign((got * expected).sum(0))
    np.testing.assert_allclose(got * signs, expected, atol=tolerance * np.abs(expected).max())


PATTERNS = np.linalg.qr(np.random.default_rng(0).normal(size=(256, 15)))[0].T
SPREAD = np.array([300 * 0.75**k for k in range(12)] + [160.0, 120.0, 90.0])  # the last three of targets only


def images(n, seed):
    """Return grey images of a side that methods see as it is, with a spectrum of clear gaps."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    factors = rng.normal(size=(n, 15)) * SPREAD
    factors[y == 0, 12:] = 0
    x = 127 + factors @ PATTERNS + rng.normal(size=(n, 256))
    return Split(np.rint(x).clip(0, 255).astype(np.uint8).reshape(n, 1, 16, 16), y)


@pytest.fixture
def grey():
    """Train, validation and held-out images."""
    return images(60, 1), images(50, 2), images(24, 3)


def test_pca_is_the_background_and_then_the_residual_of_the_target(grey):
    train, _, new = grey
    x, y = rows(train), train.y
    common = PCA(4, svd_solver="full").fit(x[y == 0])

    def residual(z):
        return z - common.inverse_transform(common.transform(z))

    salient = PCA(3, svd_solver="full").fit(residual(x[y == 1]))
    codes = BackgroundPCA(**DIMS).fit(train).embed(new.x)
    assert_same_up_to_sign(codes.common, common.transform(rows(new)))
    assert_same_up_to_sign(codes.salient, salient.transform(residual(rows(new))))


def test_cpca_is_the_eigenvectors_of_the_contrast_and_the_deflated_background(grey):
    train, _, new = grey
    x, y = rows(train), train.y
    target, background = unbiased(x[y == 1]), unbiased(x[y == 0])
    salient = leading(target - 0.7 * background, 3)
    common = leading(deflate(background, salient), 4)
    codes = CPCA(**DIMS, **FIXED).fit(train).embed(new.x)
    centred = rows(new) - x[y == 0].mean(0)
    assert_same_up_to_sign(codes.salient, centred @ salient)
    assert_same_up_to_sign(codes.common, centred @ common)


def test_cpca_plus_plus_solves_the_generalised_problem_about_the_background_mean(grey):
    train, _, new = grey
    x, y = rows(train), train.y
    centre = x[y == 0].mean(0)
    target, background = (slow_covariance(x[y == group], centre) for group in (1, 0))
    metric = background + 0.01 * np.trace(background) / (len(x) - 1) * np.eye(len(centre))
    values, vectors = np.linalg.eig(np.linalg.solve(metric, target))
    salient = vectors[:, np.argsort(-values.real)[:3]].real
    salient = salient / np.sqrt(np.diag(salient.T @ metric @ salient))
    common = leading(deflate(background, np.linalg.qr(salient)[0]), 4)
    codes = CPCAPlusPlus(**DIMS, ridge=0.01).fit(train).embed(new.x)
    assert_same_up_to_sign(codes.salient, (rows(new) - centre) @ salient)
    assert_same_up_to_sign(codes.common, (rows(new) - centre) @ common)


def test_pixels_is_one_pca_of_all_images_for_both_spaces(grey):
    train, _, new = grey
    codes = Pixels(dim=5).fit(train).embed(new.x)
    expected = PCA(5, svd_solver="full").fit(rows(train)).transform(rows(new))
    assert np.array_equal(codes.common, codes.salient)
    assert_same_up_to_sign(codes.common, expected)


@pytest.mark.parametrize("cls", PAIRS)
@pytest.mark.parametrize("kind", ["colour", "volume"])
def test_the_codes_have_the_sizes_asked_for_and_their_axes_are_orthogonal(cls, kind, make_split):
    method = cls(common_dim=7, salient_dim=2).fit(make_split(kind).blind())
    codes = method.embed(make_split(kind, 5).x)
    assert codes.common.shape == (5, 7) and codes.salient.shape == (5, 2)
    salient = method.salient_axes_ / np.linalg.norm(method.salient_axes_, axis=0)
    np.testing.assert_allclose(method.common_axes_.T @ salient, 0, atol=2e-5)
    np.testing.assert_allclose(method.common_axes_.T @ method.common_axes_, np.eye(7), atol=2e-5)


def test_axes_beside_others_never_fall_back_onto_them():
    """A background of rank 2 leaves two common axes without variance: they must still avoid the salient one."""
    background = np.diag([5.0, 3.0, 0, 0, 0, 0])
    taken = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 2)))[0]
    axes = leading_beside(background, taken, 4)
    np.testing.assert_allclose(axes.T @ taken, 0, atol=1e-12)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-12)


def test_eigenvectors_come_largest_first():
    assert np.array_equal(np.abs(top_axes(np.diag([1.0, 3.0, 2.0]), 2)).argmax(0), [1, 2])
    metric = np.diag([1.0, 9.0, 1.0])
    assert np.array_equal(np.abs(top_axes(np.diag([1.0, 3.0, 2.0]), 2, metric)).argmax(0), [2, 0])


def shifted(split):
    """Return the split with its target images brighter by one constant picture."""
    x = split.x.copy()
    x[split.y == 1, :, 4:12, 4:12] += 50
    return replace(split, x=x)


def test_a_shift_between_the_groups_is_variance_for_cpca_plus_plus_alone(grey):
    train, _, _ = grey
    picture = (shifted(train).x[train.y == 1][0] - train.x[train.y == 1][0]).ravel() / 255.0

    def aligned(method):
        """Return the share of the shift that the salient axes hold."""
        axes = np.linalg.qr(method.fit(shifted(train)).salient_axes_)[0]
        return np.linalg.norm(axes.T @ picture) / np.linalg.norm(picture)

    assert aligned(CPCAPlusPlus(**DIMS, ridge=10.0)) > 0.9
    assert aligned(CPCA(**DIMS, **FIXED)) < 0.4


def test_alphas_are_0_and_forty_from_a_tenth_to_a_thousand():
    assert len(ALPHAS) == 41 and ALPHAS[0] == 0
    assert ALPHAS[1] == pytest.approx(0.1) and ALPHAS[-1] == pytest.approx(1000)
    np.testing.assert_allclose(np.diff(np.log(ALPHAS[1:])), np.log(1e4) / 39)


AXES = {float(k): np.eye(4)[:, [k]] for k in range(4)}


@pytest.mark.parametrize(
    ("target", "background", "best"),
    [
        ([60, 20, 14, 6], [60, 10, 1, 0.1], 3),  # the largest ratio, 60 to 1
        ([60, 20, 16, 4], [60, 10, 1, 0.1], 2),  # it holds 4 % of the target's variance only
        ([60, 20, 14, 6], [60, 10, 0, 1], 2),  # no background at all
        ([4, 4, 4, 4, 84], [1, 2, 3, 4, 5], 0),  # none holds 5 %: the first
    ],
)
def test_the_best_alpha_has_the_largest_ratio_among_those_that_explain_enough(target, background, best):
    axes = {alpha: np.eye(len(target))[:, [int(alpha)]] for alpha in AXES}
    assert best_alpha(axes, np.diag(np.array(target, float)), np.diag(np.array(background, float))) == best


def slow_alpha(train, watched, dim):
    """Return the best alpha of METHODS 2.13 in the coordinates of a first PCA that keeps everything."""
    span = np.linalg.svd(rows(train) - rows(train).mean(0))[2][: len(train) - 1]
    target, background, seen_target, seen_background = (
        unbiased(rows(split)[split.y == group] @ span.T) for split in (train, watched) for group in (1, 0)
    )
    ratios = {}
    for alpha in (0, *(0.1 * 10 ** (4 * i / 39) for i in range(40))):
        axes = leading(target - alpha * background, dim)
        explained = np.trace(axes.T @ seen_target @ axes)
        if explained >= 0.05 * np.trace(seen_target):
            ratios[alpha] = explained / np.trace(axes.T @ seen_background @ axes)
    return max(ratios, key=ratios.get)


@pytest.fixture
def flat(make_split):
    """Train and validation images of nearly flat spectra: what fits one does not fit the other."""
    return make_split("grey"), make_split("grey", seed=1)


def test_alpha_is_chosen_on_validation_and_the_axes_are_learnt_on_train(flat):
    train, validation = flat
    chosen = CPCA(**DIMS).fit(train, validation)
    assert chosen.alpha_ == pytest.approx(slow_alpha(train, validation, 3))
    fixed = CPCA(**DIMS, alpha_choice="fixed", alpha=chosen.alpha_).fit(train)
    assert all(np.array_equal(chosen.embed(train.x)[space], fixed.embed(train.x)[space]) for space in SPACES)


def test_without_both_groups_in_validation_the_training_split_chooses(flat):
    train, validation = flat
    alpha = CPCA(**DIMS).fit(train).alpha_
    assert alpha == pytest.approx(slow_alpha(train, train, 3))
    assert alpha != CPCA(**DIMS).fit(train, validation).alpha_
    for group in (0, 1):
        one = replace(validation, y=np.full(len(validation), group))
        assert CPCA(**DIMS).fit(train, one).alpha_ == alpha


@pytest.mark.parametrize("cls", [CPCA, CPCAPlusPlus])
def test_the_first_pca_leaves_as_many_dimensions_as_asked(cls, grey):
    train, _, _ = grey
    leading_eight = PCA(8, svd_solver="full").fit(rows(train)).components_
    for dim, inside in ((8, True), (500, False)):
        method = cls(**DIMS, preprocess_dim=dim).fit(train)
        for axes in (method.common_axes_, method.salient_axes_):
            left = axes - leading_eight.T @ (leading_eight @ axes)
            assert (np.linalg.norm(left) < 1e-3 * np.linalg.norm(axes)) == inside


def test_a_large_ridge_forgets_the_background(grey):
    train, _, _ = grey
    x, y = rows(train), train.y
    plain = leading(slow_covariance(x[y == 1], x[y == 0].mean(0)), 3)

    def cosine(ridge):
        axes = np.linalg.qr(CPCAPlusPlus(**DIMS, ridge=ridge).fit(train).salient_axes_)[0]
        return np.linalg.svd(axes.T @ plain)[1].min()

    assert cosine(1e4) > 0.999 > 0.5 > cosine(1e-3)


@pytest.mark.parametrize("cls", [*PAIRS, Pixels])
def test_a_fit_uses_one_blas_thread(cls, grey, monkeypatch):
    used, learn = [], cls.learn

    def watched(*args):
        used.extend(pool["num_threads"] for pool in threadpool_info())
        return learn(*args)

    monkeypatch.setattr(cls, "learn", watched)
    (cls(dim=3) if cls is Pixels else cls(**DIMS)).fit(grey[0])
    assert set(used) == {1}


@pytest.mark.parametrize("cls", PAIRS)
@pytest.mark.parametrize("share", [0.0, 1.0, 0.2])  # no target, no background, fewer than the components
def test_too_few_images_of_a_group_are_one_clear_sentence(cls, share, make_split):
    with pytest.raises(UserError, match=r"needs more background and more target images than the 12 .*\.$"):
        cls(common_dim=12, salient_dim=3).fit(make_split(share=share).blind())


@pytest.mark.parametrize("cls", PAIRS)
def test_images_that_cannot_hold_both_codes_are_one_clear_sentence(cls):
    x = np.random.default_rng(0).integers(0, 255, (60, 1, 8, 8), dtype=np.uint8)
    split = Split(x, np.arange(60) % 2, augmentation=Augmentation(2))
    with pytest.raises(UserError, match=r"at least 7 pixels for its 7 components, not 4\.$"):
        cls(**DIMS).fit(split)


@pytest.mark.parametrize("cls", PAIRS)
@pytest.mark.parametrize("group", [0, 1])
def test_a_group_of_equal_images_is_one_clear_sentence(cls, group, grey):
    x = grey[0].x.copy()
    x[grey[0].y == group] = x[grey[0].y == group][0]
    with pytest.raises(UserError, match=r"images that differ among themselves\.$"):
        cls(**DIMS).fit(replace(grey[0], x=x))


def test_pixels_needs_more_images_than_components(grey):
    with pytest.raises(UserError, match=r"more than 60 images for its 60 components\.$"):
        Pixels(dim=60).fit(grey[0])


@pytest.mark.parametrize("cls", [CPCA, CPCAPlusPlus])
def test_a_first_pca_too_small_for_the_codes_is_refused_at_planning(cls):
    with pytest.raises(UserError, match=r"preprocess_dim\] must be at least .* = 7, not 6\.$"):
        cls(**DIMS, preprocess_dim=6)


@pytest.mark.parametrize(
    ("cls", "parameters"),
    [
        (CPCA, {"alpha": -1.0}),
        (CPCA, {"alpha_choice": "train"}),
        (CPCAPlusPlus, {"ridge": 0.0}),
        (Pixels, {"dim": 0}),
        (BackgroundPCA, {"salient_dim": 0}),
    ],
)
def test_values_outside_their_range_are_refused_at_planning(cls, parameters):
    with pytest.raises(UserError, match=rf"^{cls.name}\[{next(iter(parameters))}\]"):
        cls(**parameters)


def test_floors_and_methods():
    assert {cls.name: cls.role for cls in (*PAIRS, Pixels)} == {
        "pca": "floor",
        "cpca": "method",
        "cpca_plus_plus": "method",
        "pixels": "floor",
    }


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(3, 24, 24), (1, 16, 16, 16)])
@pytest.mark.parametrize("cls", [*PAIRS, Pixels])
def test_a_fit_on_four_thousand_images_takes_less_than_twenty_cpu_seconds(cls, shape):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (5000, *shape), dtype=np.uint8)
    y = np.arange(5000) % 2
    started = time.process_time()
    cls().fit(Split(x[:4000], y[:4000]), Split(x[4000:], y[4000:]), Context())
    assert time.process_time() - started < 20
