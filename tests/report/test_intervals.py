"""Intervals of probes come from the predictions of all seeds, the test groups drawn anew."""

import numpy as np
import pytest

from cabench.codes_file import CODES_FILE, PREDICTIONS_FILE, read_codes
from cabench.execute import execute
from cabench.plan import make_plan
from cabench.report.frame import frame
from cabench.report.intervals import probe_intervals
from cabench.report.scores import aggregate
from cabench.report.write import write_leaderboard
from cabench.stats import balanced_accuracy, nested_interval
from cabench.store import Store
from cabench.worker import Options

KEY = ("toy[noise=0.4]", "synthetic", "smoke")


@pytest.fixture
def store(tmp_path, plugins):
    files = [plugins / "toy.py", plugins / "corner.py"]
    plan = make_plan("corner,random", "toy[noise=0.4]", "0:3", "smoke", plugins=files)
    execute(plan, Store(tmp_path), Options(device="cpu"))
    return Store(tmp_path)


def test_the_interval_is_that_of_the_stored_predictions(store):
    from safetensors.numpy import load_file

    found = probe_intervals(store, frame(store.records()))
    folders = sorted((store.root / "runs").glob("*random*"))
    test = read_codes(folders[0] / CODES_FILE).test
    points = np.stack([load_file(folder / PREDICTIONS_FILE)["probe/bar/salient"] for folder in folders])
    expected = nested_interval((test.labels["bar"], points), balanced_accuracy, test.groups)
    got = found[(*KEY, "random", "bar", "salient")]
    assert (got.value, got.high - got.low) == pytest.approx((expected.value, expected.high - expected.low))


def test_a_method_without_chance_still_has_the_uncertainty_of_the_test_images(store):
    table = frame(store.records())
    with_images = aggregate(table, probe_intervals(store, table))
    corner = with_images[(with_images["method"] == "corner") & (with_images["name"] == "balanced_accuracy")]
    unsure = corner[(corner["mean"] > 0.5) & (corner["mean"] < 1)]
    assert len(unsure) and (unsure["sd"] < 1e-9).all()
    assert (unsure["low"] < unsure["mean"]).all() and (unsure["mean"] < unsure["high"]).all()


def test_a_run_that_lost_its_predictions_leaves_the_interval_over_seeds(store):
    for folder in (store.root / "runs").glob("*random-1*"):
        (folder / PREDICTIONS_FILE).unlink()
    found = probe_intervals(store, frame(store.records()))
    assert {key[3] for key in found} == {"corner"}
    for folder in (store.root / "runs").glob("*corner-0*"):
        (folder / PREDICTIONS_FILE).write_bytes(b"half")
    assert probe_intervals(store, frame(store.records())) == {}
    assert write_leaderboard(store)


def test_a_mean_over_all_seeds_has_no_interval_over_some(tmp_path, plugins):
    plan = make_plan("random", "toy[noise=0.4]", "0:4", "smoke", plugins=[plugins / "toy.py"])
    execute(plan, Store(tmp_path), Options(device="cpu"))
    store = Store(tmp_path)
    table = frame(store.records())
    assert probe_intervals(store, table)
    next((store.root / "runs").glob("*random-1*/" + PREDICTIONS_FILE)).unlink()
    assert probe_intervals(store, table) == {}
