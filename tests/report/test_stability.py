import numpy as np
import pandas as pd
import pytest

from cabench.codes_file import PREDICTIONS_FILE, kept, read_predictions
from cabench.errors import UserError
from cabench.report.stability import subgroup_stability
from cabench.store import Store


def keep(store, run, family, values):
    folder = store.folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    row = {
        "family": family,
        "factor": "digit",
        "space": "salient",
        "name": "ami",
        "value": 0.1,
        "predicted": values,
    }
    return kept([row], folder)


def table(runs):
    return pd.DataFrame(
        {"dataset": "d", "source": "s", "tier": "t", "method": "m", "status": "done", "name": "ami"}
        | {"space": "salient", "factor": "digit", "run_id": run}
        for run in runs
    )


def test_stability_is_the_agreement_of_the_clusters_of_two_seeds(tmp_path):
    store = Store(tmp_path)
    for run, clusters in {"a": [0, 0, 1, 1], "b": [1, 1, 0, 0], "c": [0, 1, 0, 1]}.items():
        keep(store, run, "subgroups", np.array(clusters))
    assert subgroup_stability(store, table("ab")) == {("d", "s", "t", "m"): 1.0}
    # One pair agrees, two are as far apart as two halvings of four rows can be: ARI -0.5.
    assert subgroup_stability(store, table("abc"))["d", "s", "t", "m"] == pytest.approx(0.0)
    assert subgroup_stability(store, table("a")) == {}
    (store.folder("b") / PREDICTIONS_FILE).write_bytes(b"half")
    assert subgroup_stability(store, table("ab")) == {}


def test_families_keep_their_predictions_side_by_side(tmp_path):
    store = Store(tmp_path)
    (row,) = keep(store, "a", "probe", np.array([1, 2]))
    assert "predicted" not in row
    keep(store, "a", "subgroups", np.array([0, 1]))
    keep(store, "a", "probe", np.array([3, 4]))
    found = read_predictions(store.folder("a"))
    assert {name: list(values) for name, values in found.items()} == {
        "probe/digit/salient": [3, 4],
        "subgroups/digit/salient": [0, 1],
    }
    with pytest.raises(UserError, match="run its cell again"):
        read_predictions(tmp_path)
