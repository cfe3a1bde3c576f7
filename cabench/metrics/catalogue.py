"""What each metric means and which way it points; light, so that `cabench list metrics` can read it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from cabench.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Metric:
    """A metric's card; `bounds` are its least and largest value, `per_factor` if a cell has one for each factor."""

    name: str
    direction: Literal["higher", "lower"]
    bounds: tuple[float, float]
    title: str
    unit: str = ""
    per_factor: bool = False


PerFactor = functools.partial(Metric, per_factor=True)


@dataclass(frozen=True)
class Family:
    """Metrics that are computed together, by `measure` of the module of that name.

    Attributes:
        name: of the module.
        version: raised when the numbers change; a record that holds older ones is measured again, not trained.
        core: whether `run` computes it unless told otherwise.
        metrics: what it yields.
    """

    name: str
    version: int
    core: bool
    metrics: tuple[Metric, ...]


INF = float("inf")
# The non-linear probes of `information`.
PROBES = {"knn": "20 neighbours", "mlp": "a small network", "trees": "boosted trees"}
FAMILIES = {
    family.name: family
    for family in (
        Family(
            "probe",
            1,
            True,
            (
                PerFactor("balanced_accuracy", "higher", (0, 1), "mean recall over classes of a linear probe"),
                PerFactor("accuracy", "higher", (0, 1), "share of test rows that a linear probe gets right"),
                PerFactor("r2", "higher", (-INF, 1), "variance of a continuous factor explained by a ridge probe"),
                PerFactor("mae", "lower", (0, INF), "mean absolute error of a ridge probe", "the factor's unit"),
                Metric("info", "higher", (0, 1), "mean over factors of what the home code holds"),
                Metric("leak", "lower", (0, 1), "mean over factors of what the foreign code holds"),
                Metric("CAscore", "higher", (0, 1), "harmonic mean of info and 1 - leak"),
                Metric("delta_tot", "lower", (0, INF), "summed distance from perfect and from chance", "points"),
                Metric("delta_tot_y", "lower", (0, INF), "delta_tot with the factor `target` included", "points"),
            ),
        ),
        Family(
            "cost",
            2,
            True,
            (
                Metric("fit_wall_s", "lower", (0, INF), "seconds that the fit took", "s"),
                Metric("fit_cpu_s", "lower", (0, INF), "CPU-seconds that the fit took, all threads", "s"),
                Metric("images_per_s", "higher", (0, INF), "training images per second", "1/s"),
                Metric("peak_memory_mb", "lower", (0, INF), "largest resident size during the fit", "MiB"),
                Metric("parameters", "lower", (0, INF), "trained numbers, all networks"),
                Metric("embed_mflop", "lower", (0, INF), "operations for the codes of one image", "MFLOP"),
            ),
        ),
        Family(
            "background",
            2,
            True,
            (
                Metric("null_background_ratio", "lower", (0, INF), "spread of s on background over that on target"),
                PerFactor("background_bits", "lower", (0, INF), "what a linear probe reads from s there", "bits"),
                Metric("background_rank", "lower", (0, INF), "effective rank of s on background"),
                Metric("detection_rate", "higher", (0, 1), "targets far from the background, at 5 % false alarms"),
                Metric("false_alarm_rate", "lower", (0, 1), "background images as far; 5 % if the threshold holds"),
            ),
        ),
        Family(
            "information",
            2,
            False,
            (
                *(
                    metric
                    for probe, title in PROBES.items()
                    for metric in (
                        PerFactor(f"balanced_accuracy_{probe}", "higher", (0, 1), f"mean recall of {title}"),
                        PerFactor(f"r2_{probe}", "higher", (-INF, 1), f"variance of a factor explained by {title}"),
                    )
                ),
                PerFactor("usable_bits", "higher", (0, INF), "most that a probe reads from a code", "bits"),
                PerFactor("compression", "higher", (0, INF), "uniform over online code length, given a code"),
                Metric("info_max", "higher", (0, 1), "info by the best of all probes"),
                Metric("leak_max", "lower", (0, 1), "leak by the best of all probes"),
                Metric("CAscore_max", "higher", (0, 1), "harmonic mean of info_max and 1 - leak_max"),
            ),
        ),
        Family(
            "dependence",
            1,
            False,
            (
                Metric("distance_correlation", "lower", (-1, 1), "of c and s, squared and corrected for bias"),
                Metric("distance_correlation_p", "higher", (0, 1), "share of permutations that depend as much"),
                Metric("hsic", "lower", (-INF, INF), "kernel dependence of c and s, unbiased"),
                Metric("hsic_p", "higher", (0, 1), "share of permutations that depend as much"),
                Metric(
                    "gaussian_mi",
                    "lower",
                    (-INF, INF),
                    "of the canonical correlations, less bias",
                    "nats",
                ),
                Metric("ksg_mi", "lower", (-INF, INF), "neighbours' information of four canonical pairs", "nats"),
                Metric("r2_c_to_s", "lower", (-INF, 1), "variance of s that a ridge on c explains"),
                Metric("r2_s_to_c", "lower", (-INF, 1), "variance of c that a ridge on s explains"),
            ),
        ),
        Family(
            "subgroups",
            1,
            False,
            (
                PerFactor("ari", "higher", (-0.5, 1), "adjusted Rand index of the most reproducible clusters"),
                PerFactor(
                    "ami", "higher", (-1, 1), "adjusted mutual information of the most reproducible clusters"
                ),
                PerFactor("subgroup_accuracy", "higher", (0, 1), "share of rows in their class's cluster"),
                PerFactor("reproducibility", "higher", (-0.5, 1), "agreement of clusterings of two halves"),
            ),
        ),
        Family(
            "disentanglement",
            2,
            False,
            (
                Metric("mig", "higher", (0, 1), "mutual information gap of the units of s"),
                Metric("salient_mig", "higher", (-1, 1), "the same, a unit of c counting as second best"),
                Metric("disentanglement", "higher", (0, 1), "DCI: each unit of s stands for one factor"),
                Metric("completeness", "higher", (0, 1), "DCI: each factor stands in one unit of s"),
                Metric("informativeness", "higher", (0, 1), "DCI: how well trees read the factors from s"),
                Metric("sap", "higher", (0, 1), "separated attribute predictability of s"),
                Metric("factor_vae_score", "higher", (0, 1), "the least varying unit of s tells the fixed factor"),
            ),
        ),
        Family(
            "swaps",
            1,
            False,
            (
                Metric("swap_mse", "lower", (0, 1), "squared error of swapped images to the true ones"),
                Metric("salient_transfer", "higher", (-INF, 1), "share of the salient content that a swap brings"),
                Metric("common_change", "lower", (0, 1), "mean change by a swap where nothing salient is"),
            ),
        ),
    )
}
METRICS = {metric.name: metric for family in FAMILIES.values() for metric in family.metrics}


def families(words: str) -> list[str]:
    """Return the families that "core", "full", or a list of families and metrics asks for, in the table's order.

    Raises:
        UserError: a word names none.

    >>> families("leak"), families("core") == [f.name for f in FAMILIES.values() if f.core]
    (['probe'], True)
    """
    chosen: set[str] = set()
    for word in (part.strip() for part in words.split(",")):
        if word in ("core", "full"):
            chosen |= {family.name for family in FAMILIES.values() if family.core or word == "full"}
        elif word in FAMILIES:
            chosen.add(word)
        elif word in METRICS:
            chosen |= {family.name for family in FAMILIES.values() if METRICS[word] in family.metrics}
        else:
            known = ("core", "full", *FAMILIES, *METRICS)
            raise UserError(f"There is no metric or family '{word}'.{did_you_mean(word, known)}")
    return [name for name in FAMILIES if name in chosen]
