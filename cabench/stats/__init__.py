"""Uncertainty of scores and comparisons of methods, over training seeds and data sets (METHODS 8.7).

Seeds are few (3 to 10). Percentiles of a bootstrap over so few values are too narrow: they miss the factor
n / (n - 1) of the variance and the heavy tails of t. Every interval here is therefore value +- t * standard
error; resampling only supplies variances that have no formula. The price: roughly normal means are assumed.
A score's variance over test images has a formula: that of the mean of what each image adds to it.
"""

from cabench.stats.basics import LEAST_SEEDS, Interval, TooFewSeeds
from cabench.stats.comparisons import (
    detectable_difference,
    holm,
    least_p,
    paired_difference,
    paired_permutation,
    unpaired_difference,
)
from cabench.stats.intervals import (
    hierarchical_interval,
    interquartile_mean,
    nested_interval,
    probability_of_improvement,
    seed_interval,
)
from cabench.stats.statistics import Statistic, balanced_accuracy, r2

__all__ = [
    "LEAST_SEEDS",
    "Interval",
    "Statistic",
    "TooFewSeeds",
    "balanced_accuracy",
    "detectable_difference",
    "hierarchical_interval",
    "holm",
    "interquartile_mean",
    "least_p",
    "nested_interval",
    "paired_difference",
    "paired_permutation",
    "probability_of_improvement",
    "r2",
    "seed_interval",
    "unpaired_difference",
]
