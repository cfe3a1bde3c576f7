"""Studies: a file says what varies, a run does it, a table and a figure show it."""

import math
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from cabench.errors import UserError
from cabench.report.study import figure, study_table
from cabench.study import Study, read_study, study_plan

ROOT = Path(__file__).resolve().parents[2]
GOOD = """
title: Noise
methods: corner,constant
datasets: toy
seeds: "0:3"
tier: smoke
vary:
  datasets:
    noise: [0.0, 0.3]
show: [CAscore, glow salient]
"""


@pytest.fixture
def here(tmp_path, plugins):
    """Return a study file and the options that make it run."""
    path = tmp_path / "noise.yaml"
    path.write_text(GOOD)
    options = ["--plugin", plugins / "toy.py", "--plugin", plugins / "corner.py", "--results", tmp_path / "results"]
    return path, options


def test_a_study_runs_every_value_and_draws_it(cabench, here):
    path, options = here
    done = cabench("run", "--study", path, *options)
    assert done.returncode == 0, done.stderr
    results = path.parent / "results"
    assert len(list((results / "runs").iterdir())) == 12
    table = pd.read_csv(results / "noise.csv")
    assert len(table) == 8 and set(table["seeds"]) == {3}
    glow = table[(table["item"] == "glow salient") & (table["method"] == "corner")].set_index("value")["mean"]
    assert glow[0.0] == 1.0 and glow[0.3] < 1.0
    assert (table["low"] - 1e-9 <= table["mean"]).all() and (table["mean"] <= table["high"] + 1e-9).all()
    with Image.open(results / "noise.png") as image:
        assert image.width > 600
    again = cabench("run", "--study", path, *options, "--dry-run")
    assert again.stdout.count("done, kept") == 12


def test_cells_are_those_of_a_run_without_a_study(here, plugins):
    from cabench.plan import make_plan

    files = [plugins / "toy.py", plugins / "corner.py"]
    plan = study_plan(read_study(here[0]), files)
    plain = make_plan("corner", "toy", "0", "smoke", plugins=files).cells[0]
    noisy = make_plan("corner", "toy[noise=0.3]", "0", "smoke", plugins=files).cells[0]
    assert {plain.run_id, noisy.run_id} <= {cell.run_id for cell in plan.cells}
    assert len(plan.ceilings) == 2


def test_the_table_is_the_mean_with_its_interval():
    study = Study("t", {"methods": {"size": [1, 2]}}, ["leak", "digit common"])

    def record(seed, size, leak, digit):
        metric = {"factor": None, "space": None, "home": None, "name": "leak", "value": leak, "chance": None}
        metric["direction"] = "lower"
        probe = {"factor": "digit", "space": "common", "name": "balanced_accuracy", "value": digit, "chance": 0.1}
        probe |= {"home": "salient", "direction": "higher"}
        other = probe | {"name": "accuracy", "value": 0.0}
        spec = {"dataset": "d", "method": "m", "params": {"size": size}, "dataset_params": {}, "seed": seed}
        return {"spec": spec, "status": "done", "metrics": [metric, probe, other]}

    records = [record(seed, 1, 0.1 * seed, 0.5) for seed in range(3)] + [record(0, 2, 0.4, 0.6)]
    table = study_table(study, [*records, {"spec": {}, "status": "failed", "metrics": []}])
    first, second, _, alone = (
        row for _, row in table.sort_values(["value", "item"], ascending=[True, False]).iterrows()
    )
    assert (first["item"], first["mean"], first["seeds"]) == ("leak", pytest.approx(0.1), 3)
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert (first["low"], first["high"]) == (
        pytest.approx(0.1 - half, abs=1e-5),
        pytest.approx(0.1 + half, abs=1e-5),
    )
    assert (second["mean"], second["measure"], second["chance"]) == (0.5, "balanced_accuracy", 0.1)
    assert math.isnan(alone["low"]) and alone["seeds"] == 1
    drawn = figure(study, table)
    titles = ["leak\n(wanted: low)", "digit, read from the common code\n(wanted: low)"]
    assert [axes.get_title() for axes in drawn.axes] == titles


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("seeds:", "seedz:"), "unknown key 'seedz'. Did you mean 'seeds'"),
        (("noise: [0.0, 0.3]", "noize: [0.0, 0.3]"), "Did you mean 'noise'"),
        (("noise: [0.0, 0.3]", "noise: 0.3"), "needs a list of values"),
        (("  datasets:\n", "  dataset:\n"), "cannot vary 'dataset'. Did you mean 'datasets'"),
        (("CAscore", "CAscores"), "which nothing measures. Did you mean 'CAscore'"),
        (("glow salient", "glow salty"), "which nothing measures"),
        (("CAscore", "ami"), "of which each factor has its own"),
        (("CAscore", "hsic"), "add it, as in metrics: core,hsic"),
        (("show: [CAscore,", "metrics: cost\nshow: [fit_cpu_s,"), "add it, as in metrics: core,probe"),
        (("corner,constant", "'corner,corner[scale=2]'"), "names 'corner' with two settings"),
        (("datasets: toy", "datasets: 'toy,toy[nuisance=0.1]'"), "names 'toy' with two settings"),
        (("title: Noise", "title: [Noise"), "is no YAML"),
        (("title: Noise\n", ""), "lacks 'title'"),
        (("tier: smoke", "tier: smok"), "Did you mean 'smoke'"),
        ((GOOD, "- a\n- b\n"), "must hold keys and values"),
        (("show: [CAscore, glow salient]", "show: CAscore"), "show must list"),
        (("    noise: [0.0, 0.3]\n", "    noise: [0.0]\n    nuisance: [0.1]\n"), "one parameter"),
        (("noise: [0.0, 0.3]", "noise: [0.0, 7.0]"), "lies between 0 and 0.5"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(cabench, here, change, says):
    path, options = here
    path.write_text(GOOD.replace(*change))
    done = cabench("run", "--study", path, *options)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (path.parent / "results" / "runs").exists()


def test_options_that_the_file_decides_are_refused(cabench, here):
    path, options = here
    done = cabench("run", "--study", path, *options, "--methods", "pca")
    assert done.returncode == 2 and "leave --methods out" in done.stderr
    assert cabench("run", "--study", path.parent / "none.yaml").returncode == 2


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_studies_that_are_shipped_can_be_planned(path):
    study = read_study(path)
    plan = study_plan(study)
    assert len(plan.cells) % len(study.values) == 0 and len({cell.run_id for cell in plan.cells}) == len(plan.cells)


def test_an_unsafe_file_builds_nothing(tmp_path):
    (tmp_path / "evil.yaml").write_text("title: !!python/object/apply:os.system ['touch /tmp/evil']")
    with pytest.raises(UserError, match="no YAML"):
        read_study(tmp_path / "evil.yaml")


def test_a_study_does_not_take_the_leaderboards_name(cabench, here):
    path = here[0].with_name("leaderboard.yaml")
    path.write_text(GOOD)
    done = cabench("run", "--study", path, *here[1])
    assert done.returncode == 2 and "over the leaderboard" in done.stderr
