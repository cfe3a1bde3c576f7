import numpy as np
import pytest

from cabench.metrics.information import compression
from cabench.metrics.nonlinear import PROBES, knn_probe
from cabench.metrics.probe import (
    SMOOTHING,
    Prediction,
    class_bits,
    linear_probe,
    prior_bits,
    scores,
    usable_information,
    value_bits,
)


def split(z, t):
    n = len(z) // 4
    return [(z[a:b], t[a:b]) for a, b in ((0, 2 * n), (2 * n, 3 * n), (3 * n, 4 * n))]


def test_a_factor_that_is_the_code_gives_its_entropy_and_noise_gives_nothing():
    rng = np.random.default_rng(0)
    t = rng.integers(0, 4, 8000)
    parts = split(np.eye(4)[t], t)
    prior = prior_bits(parts[0][1], parts[1][1], parts[2][1], True)
    assert prior.mean() == pytest.approx(2.0, abs=0.01)
    assert usable_information(prior, linear_probe(*parts, True)) == pytest.approx(2.0, abs=0.03)
    noise = split(rng.normal(size=(8000, 4)), t)
    assert usable_information(prior, linear_probe(*noise, True)) == pytest.approx(0.0, abs=0.005)


def test_a_gaussian_channel_gives_its_capacity():
    rng = np.random.default_rng(1)
    t = rng.normal(30, 7, 40000)
    z = (t - 30)[:, None] / 7 + 0.5 * rng.normal(size=(40000, 1))
    parts = split(z, t)
    prior = prior_bits(*(part[1] for part in parts), False)
    got = usable_information(prior, linear_probe(*parts, False))
    assert got == pytest.approx(0.5 * np.log2(1 + 1 / 0.25), abs=0.02)


def test_a_binary_channel_gives_its_capacity_to_the_linear_probe():
    rng = np.random.default_rng(2)
    t = rng.integers(0, 2, 40000)
    z = np.where(rng.random(40000) < 0.11, 1 - t, t)[:, None].astype(float)
    parts = split(z, t)
    prior = prior_bits(*(part[1] for part in parts), True)
    entropy = -0.11 * np.log2(0.11) - 0.89 * np.log2(0.89)
    assert usable_information(prior, linear_probe(*parts, True)) == pytest.approx(1 - entropy, abs=0.02)


def test_a_quadratic_factor_is_hidden_from_the_linear_probe_alone():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(4000, 3))
    t = (np.square(z[:, 0]) + np.square(z[:, 1]) > 1.4).astype(int)
    got = {
        name: scores(t[3000:], probe(*split(z, t), True), True)["balanced_accuracy"]
        for name, probe in PROBES.items()
    }
    assert got["linear"] < 0.56 and got["mlp"] > 0.9 and got["trees"] > 0.88
    assert got["knn"] > 0.6  # by direction alone


def test_bits_are_the_logarithm_of_the_smoothed_probability():
    p = np.array([[0.8, 0.2], [0.0, 1.0], [0.5, 0.5]])
    got = class_bits(p, np.array([0, 2]), np.array([0, 0, 1]))
    expected = [(1 - SMOOTHING) * q + SMOOTHING / 2 for q in (0.8, 0.0, 0.0)]
    assert got == pytest.approx(-np.log2(expected), rel=1e-12)
    assert value_bits(np.zeros(1), np.array([2.0]), 4.0) == pytest.approx(
        -np.log2(np.exp(-0.5) / np.sqrt(2 * np.pi * 4)), rel=1e-12
    )


def test_a_probe_that_is_worse_than_its_prior_gives_nothing():
    assert usable_information(np.ones(3), Prediction(np.zeros(3), np.full(3, 9.0))) == 0.0


def test_compression_of_a_readable_code_is_large_and_of_noise_at_most_one():
    rng = np.random.default_rng(4)
    t = rng.integers(0, 10, 2000)
    clear = compression((np.eye(10)[t], t))
    noise = compression((rng.normal(size=(2000, 10)), t))
    assert clear > 8 and noise < 1.02
    blurred = np.eye(10)[t] + rng.normal(size=(2000, 10)) * 0.5
    assert 1.2 < compression((blurred, t)) < clear


def test_compression_of_a_constant_code_is_one_up_to_the_classes_yet_unseen():
    t = np.random.default_rng(5).integers(0, 2, 4000)
    assert compression((np.zeros((4000, 3)), t)) == pytest.approx(1.0, abs=0.01)


def test_all_rows_are_neighbours_in_a_constant_code():
    t = np.arange(100.0)
    part = (np.zeros((100, 2)), t)
    assert knn_probe(part, part, part, False).point == pytest.approx(np.full(100, 49.5))


def test_neighbours_are_those_of_the_cosine():
    rng = np.random.default_rng(6)
    z, t = rng.normal(size=(60, 4)), rng.normal(size=60)
    standard = (z - z.mean(0)) / z.std(0)
    unit = standard / np.linalg.norm(standard, axis=1, keepdims=True)
    slow = [np.mean(t[np.argsort(-unit @ row)[:20]]) for row in unit]
    assert knn_probe((z, t), (z, t), (z, t), False).point == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_bad_input_is_refused_and_odd_input_has_a_value(probe):
    z, t = np.random.default_rng(7).normal(size=(80, 3)), np.arange(80) % 2
    part = (z, t)
    with pytest.raises(ValueError, match="rows in train"):
        probe(part, part, (z[:0], t[:0]), True)
    with pytest.raises(ValueError, match="two classes"):
        probe((z, t * 0), part, part, True)
    one = probe(part, part, (z[t == 0], t[t == 0]), True)  # one class in test
    assert np.isfinite(scores(t[t == 0], one, True)["balanced_accuracy"])
    tied = (z, np.full(80, 3.0))
    got = probe(tied, tied, tied, False)
    assert scores(tied[1], got, False) == pytest.approx({"r2": 0.0, "mae": 0.0}, abs=0.2)  # the network's is .12
    assert np.isfinite(got.bits).all()


def test_an_online_code_needs_rows():
    with pytest.raises(ValueError, match="20 rows"):
        compression((np.zeros((10, 2)), np.arange(10) % 2))
