import numpy as np
import pytest
from planted import planted

from cabench.metrics.evidence import Swaps
from cabench.metrics.swaps import common_change, measure, salient_transfer, swap_error


@pytest.fixture
def images():
    """Return background images and the same with a bright square."""
    background = np.random.default_rng(0).random((5, 3, 8, 8)) * 0.5
    truth = background.copy()
    truth[:, :, 2:4, 2:4] += 0.4
    return background, truth


def test_the_truth_scores_best_and_no_change_nothing(images):
    background, truth = images
    assert (swap_error(truth, truth), salient_transfer(truth, background, truth)) == (0.0, 1.0)
    assert salient_transfer(background, background, truth) == 0.0
    assert common_change(truth, background, background, truth) == 0.0


def test_errors_are_those_of_a_literal_loop(images):
    background, truth = images
    drawn = np.random.default_rng(1).random(truth.shape)
    inside, outside, unchanged, changed = [], [], [], []
    for i, c, h, w in np.ndindex(drawn.shape):
        salient = 2 <= h < 4 and 2 <= w < 4
        (inside if salient else outside).append((drawn[i, c, h, w] - truth[i, c, h, w]) ** 2)
        if salient:
            unchanged.append(0.4**2)
        else:
            changed.append(abs(drawn[i, c, h, w] - background[i, c, h, w]))
    assert swap_error(drawn, truth) == pytest.approx((sum(inside) + sum(outside)) / drawn.size)
    assert salient_transfer(drawn, background, truth) == pytest.approx(1 - sum(inside) / sum(unchanged))
    assert common_change(drawn, background, background, truth) == pytest.approx(np.mean(changed))


def test_half_the_content_moves_three_quarters_of_the_way(images):
    background, truth = images
    assert salient_transfer((background + truth) / 2, background, truth) == pytest.approx(0.75)


def test_a_swap_without_content_is_refused(images):
    background, _ = images
    with pytest.raises(ValueError, match="changes nothing"):
        salient_transfer(background, background, background)
    with pytest.raises(ValueError, match="change everything"):
        common_change(background, background, background, background + 0.5)


def test_methods_that_draw_nothing_have_no_rows(images):
    from dataclasses import replace

    background, truth = images
    evidence = planted("oracle")
    assert not list(measure(evidence)) and not list(measure(replace(evidence, swaps=lambda: None)))
    drawn = replace(evidence, swaps=lambda: Swaps(truth, background, truth, background))
    assert [row["value"] for row in measure(drawn)] == [0.0, 1.0, 0.0]
