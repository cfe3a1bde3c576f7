"""Disentanglement of a code's units: MIG, DCI, SAP and the FactorVAE score (METHODS 8.5).

All read stored codes s (n, d) and the factors' values (n, k), one column per factor, with `categorical` (k,) true
for a column of class numbers. Constant units are ignored. A continuous factor is binned where classes are needed:
at most 20 distinct values are kept as they are, more become 20 bins of equal mass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import entropy, rankdata
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mutual_info_score, r2_score
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import check_array, check_consistent_length

from cabench.metrics.evidence import Evidence, Rows

BINS = 20
TREES = 30
LEAF = 10
TRAIN_VOTES, TEST_VOTES = 800, 400
BATCH = 50
LEAST_VARIANCE = 0.05
SEED = 0


def mig(
    s: np.ndarray, factors: np.ndarray, categorical: Sequence[bool], foreign: np.ndarray | None = None
) -> float:
    """Return the mutual information gap: by how much the best unit knows a factor better than the next.

    Mean over factors of (I_first - I_second) / H(factor), I in 20 bins of equal width per unit. In [0, 1], higher
    is better; 0 for a constant code or one that is copied. A missing second unit knows 0. Source: Chen et al.,
    NeurIPS 2018, equation 6. Few rows make every I too high, by about bins^2 / 2n nats, so compare at equal n. A
    code that equals a continuous factor scores below 1 (a uniform one of 2000 rows 0.86), since borders of equal
    width and of equal mass differ.

    With `foreign` it is SalientMIG: the first must be a unit of s, the second may be of either code. In [-1, 1];
    below 0 the foreign code holds the factors.

    Args:
        s: codes (n, d) that should hold the factors.
        factors: values (n, k).
        categorical: which factors have classes (k,).
        foreign: codes (n, e) that should not hold the factors.

    Raises:
        ValueError: an array is not finite, lengths differ, or a factor has one value only.

    >>> f = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> round(mig(f, f, [True, True]), 6), round(mig(f, f, [True, True], foreign=f), 6)
    (1.0, 0.0)

    """
    units, values = _units(s), _factors(factors, categorical)
    strangers = np.empty((len(units), 0)) if foreign is None else _units(foreign)
    check_consistent_length(units, strangers, values)
    gaps = []
    for column, has_classes in zip(values.T, categorical, strict=True):
        classes = _classes(column, has_classes)
        own, others = _information(units, classes), _information(strangers, classes)
        first, second = _top_two(own, 0.0)
        gaps.append((first - max(second, others.max(initial=0.0))) / mutual_info_score(classes, classes))
    return float(np.mean(gaps))


def dci(
    train_s: np.ndarray,
    train_factors: np.ndarray,
    test_s: np.ndarray,
    test_factors: np.ndarray,
    categorical: Sequence[bool],
    seed: int,
) -> dict[str, float]:
    """Return disentanglement, completeness and informativeness of a code.

    Importances R (units, factors) come from extremely randomised trees, one forest per factor. They cost less
    than boosted trees, and their impurity importances are fair to units: thresholds are drawn at random, so a unit
    gains nothing by offering more of them; every split looks at all units, so noise is not chosen for want of
    better; leaves of ten rows keep out the splits on noise that fill deep trees. Copied units share the importance
    of one. Source: Eastwood & Williams, ICLR 2018, section 2; boosted trees instead in Locatello et al.

    Args:
        train_s: codes (n, d) that grow the trees.
        train_factors: values (n, k), k at least 2.
        test_s: codes (m, d) on which informativeness is measured.
        test_factors: values (m, k).
        categorical: which factors have classes (k,).
        seed: of the forests.

    Returns:
        Higher is better, all in [0, 1]; a constant code has disentanglement and completeness 0.
        disentanglement: mean over units, weighted by importance, of 1 - entropy over factors (log base k).
        completeness: mean over factors, weighted so too, of 1 - entropy over units (log base: their number); one
        unit that varies is complete.
        informativeness: mean over factors of the test accuracy, or of R^2 with 0 for less. Its chance is the
        share of a factor's largest class, or 0.

    Raises:
        ValueError: an array is not finite, lengths or units differ, a factor has one value only, there is one
            factor, or train has fewer than 20 rows.

    >>> f = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (20, 1))
    >>> dci(f, f, f, f, [True, True], seed=0)
    {'disentanglement': 1.0, 'completeness': 1.0, 'informativeness': 1.0}

    """
    train_s, test_s = (check_array(s, dtype=np.float64, input_name="s") for s in (train_s, test_s))
    train_values, test_values = _factors(train_factors, categorical, 2), _factors(test_factors, categorical, 2)
    check_consistent_length(train_s, train_values)
    check_consistent_length(test_s, test_values)
    if train_s.shape[1] != test_s.shape[1]:
        raise ValueError(f"train codes have {train_s.shape[1]} units, test codes {test_s.shape[1]}")
    if len(train_s) < 2 * LEAF:
        raise ValueError(f"the trees of DCI need {2 * LEAF} train rows, there are {len(train_s)}")
    varying = np.ptp(train_s, axis=0) > 0
    if not varying.any():
        # One constant unit for the forests, which then guess the largest class or the mean.
        varying[0] = True
    importances, scores = [], []
    for j, has_classes in enumerate(categorical):
        forest, score = (ExtraTreesClassifier, accuracy_score) if has_classes else (ExtraTreesRegressor, r2_score)
        model = forest(TREES, min_samples_leaf=LEAF, max_features=None, random_state=seed)
        model.fit(train_s[:, varying], train_values[:, j])
        importances.append(model.feature_importances_)
        scores.append(max(0.0, score(test_values[:, j], model.predict(test_s[:, varying]))))
    R = np.array(importances).T
    return {
        "disentanglement": _concentration(R),
        "completeness": _concentration(R.T),
        "informativeness": float(np.mean(scores)),
    }


def sap(s: np.ndarray, factors: np.ndarray, categorical: Sequence[bool]) -> float:
    """Return the separated attribute predictability: how much better the best unit predicts a factor than the next.

    Mean over factors of the difference of the two highest scores of single units: the squared correlation with a
    continuous factor, and for K classes the balanced accuracy of K - 1 thresholds (a tree of K leaves, fitted and
    scored on the same rows). Thresholds are the source's own classifier; the linear SVM of Locatello et al.
    cannot find a class that lies between two others. Source: Kumar et al., ICLR 2018, section 3.

    In [0, 1], higher is better; 0 for a constant code or one that is copied. A missing second unit scores chance,
    so a factor with K classes adds 1 - 1/K at most.

    Args:
        s: codes (n, d).
        factors: values (n, k).
        categorical: which factors have classes (k,).

    Raises:
        ValueError: an array is not finite, lengths differ, or a factor has one value only.

    >>> f = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> round(sap(f, f, [False, False]), 6), round(sap(f, f, [True, True]), 6)
    (1.0, 0.5)

    """
    units, values = _units(s), _factors(factors, categorical)
    check_consistent_length(units, values)
    gaps = []
    for column, has_classes in zip(values.T, categorical, strict=True):
        if has_classes:
            classes = _classes(column, True)
            chance = 1.0 / (classes.max() + 1)
            scores = np.array([_threshold_accuracy(unit, classes) for unit in units.T])
        else:
            chance = 0.0
            scores = np.array([np.corrcoef(unit, column)[0, 1] ** 2 for unit in units.T])
        first, second = _top_two(scores, chance)
        gaps.append(first - second)
    return float(np.mean(gaps))


def factor_vae_score(
    s: np.ndarray, factors: np.ndarray, categorical: Sequence[bool], seed: int, batch: int = BATCH
) -> float:
    """Return how often the unit that varies least tells which factor was held fixed.

    Each vote holds a factor fixed in a batch of rows and names the unit whose variance there is the smallest share
    of its variance overall; 800 votes give each unit the factor it mostly stands for, 400 more are scored. Units
    whose variance is below 0.05 are dropped, 0.05 of a prior's 1; if none reaches 1, below 0.05 of the largest. In
    [0, 1], higher is better; chance, 1/k, for a constant code. Source: Kim & Mnih, ICML 2018, section 4.

    Deviations, for want of a generator of images: rows are drawn, without replacement, from stored codes, so they
    share a factor's bin, not always its exact value; only bins of at least `batch` rows are drawn, in proportion to
    their rows. Factors take turns, so that chance is 1/k.

    Args:
        s: codes (n, d).
        factors: values (n, k), k at least 2.
        categorical: which factors have classes (k,).
        seed: of the votes.
        batch: rows per vote, at least 2.

    Raises:
        ValueError: an array is not finite, lengths differ, a factor has one value only or no bin of `batch` rows,
            there is one factor, or `batch` is below 2.

    >>> f = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (30, 1))
    >>> factor_vae_score(f, f, [True, True], seed=0)
    1.0

    """
    if batch < 2:
        raise ValueError(f"a variance needs a batch of two rows, not {batch}")
    s, values = check_array(s, dtype=np.float64, input_name="s"), _factors(factors, categorical, 2)
    check_consistent_length(s, values)
    pools = [_pools(column, has_classes, batch) for column, has_classes in zip(values.T, categorical, strict=True)]
    k = values.shape[1]
    # Seen from a row, a constant unit has a variance of exactly 0.
    variances = (s - s[0]).var(0)
    if not variances.any():
        return float(1 / k)
    active = variances >= LEAST_VARIANCE * min(1.0, variances.max())
    z = s[:, active] / np.sqrt(variances[active])
    rng = np.random.default_rng(seed)
    tables = []
    for votes in (TRAIN_VOTES, TEST_VOTES):
        table = np.zeros((z.shape[1], k), int)
        for vote in range(votes):
            factor = vote % k
            pool, shares = pools[factor]
            rows = rng.choice(pool[rng.choice(len(pool), p=shares)], batch, replace=False)
            table[z[rows].var(0).argmin(), factor] += 1
        tables.append(table)
    train, test = tables
    return float(test[np.arange(len(test)), train.argmax(1)].sum() / TEST_VOTES)


def measure(evidence: Evidence) -> Rows:
    """Yield all scores of s for the salient factors of target rows, given two of them and rows for the bins."""
    chosen = [factor for factor in evidence.factors if factor.home == "salient" and factor.rows == "target"]
    parts = []
    for part in (evidence.train, evidence.test):
        rows = np.all([part.rows(factor) for factor in chosen], axis=0) if chosen else np.zeros(len(part.y), bool)
        values = np.column_stack([part.labels[factor.name][rows] for factor in chosen] or [np.empty(0)])
        parts.append((part.codes.salient[rows], part.codes.common[rows], values))
    (train_s, _, train_values), (s, c, values) = parts
    if len(chosen) < 2 or len(s) < BINS * BATCH or (np.ptp(values, axis=0) == 0).any():
        return
    categorical = [bool(factor.classes) for factor in chosen]
    found = {
        "mig": mig(s, values, categorical),
        "salient_mig": mig(s, values, categorical, foreign=c),
        **dci(train_s, train_values, s, values, categorical, SEED),
        "sap": sap(s, values, categorical),
        "factor_vae_score": factor_vae_score(s, values, categorical, SEED),
    }
    for name, value in found.items():
        yield evidence.row(name, value, space="salient", rows="target", n=len(s))


def _units(s: np.ndarray) -> np.ndarray:
    """Return the units that vary, checked and scaled to [0, 1]."""
    s = check_array(s, dtype=np.float64, input_name="s")
    s = s[:, np.ptp(s, axis=0) > 0]
    return np.asarray((s - s.min(0)) / np.ptp(s, axis=0))


def _factors(factors: np.ndarray, categorical: Sequence[bool], least: int = 1) -> np.ndarray:
    """Return the factors' values, checked."""
    values: np.ndarray = check_array(factors, dtype=np.float64, ensure_min_features=least, input_name="factors")
    if len(categorical) != values.shape[1]:
        raise ValueError(f"categorical has {len(categorical)} entries for {values.shape[1]} factors")
    for j in np.flatnonzero(np.ptp(values, axis=0) == 0):
        raise ValueError(f"factor {j} has one value only")
    return values


def _classes(column: np.ndarray, categorical: bool) -> np.ndarray:
    """Return a factor as class numbers 0, 1, ... (n,); ties share a bin."""
    if not categorical and len(np.unique(column)) > BINS:
        column = np.floor((rankdata(column) - 0.5) / len(column) * BINS)
    return np.unique(column, return_inverse=True)[1]


def _information(units: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the mutual information of each unit, in bins of equal width, with the classes, in nats."""
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.array([mutual_info_score(np.digitize(unit, edges), classes) for unit in units.T])


def _top_two(scores: np.ndarray, floor: float) -> tuple[float, float]:
    """Return the two highest scores, `floor` for those that are missing."""
    second, first = np.sort(np.append(scores, [floor, floor]))[-2:]
    return float(first), float(second)


def _threshold_accuracy(unit: np.ndarray, classes: np.ndarray) -> float:
    # The seed only orders the features, of which there is one.
    tree = DecisionTreeClassifier(max_leaf_nodes=classes.max() + 1, class_weight="balanced", random_state=0)
    return float(balanced_accuracy_score(classes, tree.fit(unit[:, None], classes).predict(unit[:, None])))


def _concentration(importances: np.ndarray) -> float:
    """Return 1 - entropy of each row (log base: its length), averaged with the rows' sums as weights."""
    mass = importances.sum(1)
    if not mass.any():
        return 0.0
    if importances.shape[1] == 1:
        return 1.0
    rows = importances[mass > 0]
    concentration = 1 - entropy(rows, axis=1, base=importances.shape[1])
    return float(np.clip(np.average(concentration, weights=mass[mass > 0]), 0, 1))


def _pools(column: np.ndarray, categorical: bool, batch: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the rows of each bin of a factor that has `batch` rows, and how likely each is drawn."""
    classes = _classes(column, categorical)
    pools = [rows for c in range(classes.max() + 1) if len(rows := np.flatnonzero(classes == c)) >= batch]
    if not pools:
        raise ValueError(f"no value of a factor has {batch} rows: give more rows or a smaller batch")
    sizes = np.array([len(rows) for rows in pools], float)
    return pools, sizes / sizes.sum()
