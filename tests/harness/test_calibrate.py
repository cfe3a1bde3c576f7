from cabench.report.calibration import calibration
from cabench.report.frame import frame


def cell(method, value, seed, ceiling=0.9):
    row = {"name": "balanced_accuracy", "factor": "digit", "home": "salient", "rows": "target", "chance": 0.1}
    row |= {"ceiling": ceiling, "direction": "higher", "n": 9}
    return {
        "run_id": f"{method}{seed}",
        "label": method,
        "dataset_label": f"d[data_seed={seed}]",
        "spec": {"dataset": "d", "source": "synthetic", "tier": "quick", "seed": 0},
        "status": "done",
        "error": None,
        "metrics": [row | {"space": "salient", "value": value}, row | {"space": "common", "value": value - 0.2}],
        "provenance": {"started": "2026-01-01", "wall_s": 1.0, "cpu_s": 1.0},
    }


def only(records):
    ((name, table),) = calibration(frame(records))
    assert name == "d"
    return table.iloc[0]


def test_a_floor_is_the_better_of_its_codes_over_data_seeds():
    row = only([cell("pca", 0.6, 0), cell("pca", 0.4, 1), cell("zeros", 0.1, 0), cell("zeros", 0.1, 1)])
    assert row["pca"] == "0.50 ± 0.14" and row["zeros"] == "0.10" and row["ceiling"] == "0.90"
    assert row["remark"] == ""


def test_a_low_ceiling_and_a_near_floor_are_remarked():
    assert only([cell("pca", 0.5, 0, ceiling=0.7)])["remark"] == "ceiling below 0.80"
    assert only([cell("pca", 0.85, 0)])["remark"] == "a floor within 0.10 of the ceiling"


def test_one_command_writes_the_table(cabench, plugins, tmp_path):
    done = cabench(
        *["calibrate", "--datasets", "toy", "--data-seeds", "0,1", "--tier", "smoke", "--out", "table.md"],
        *["--plugin", plugins / "toy.py"],
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "table.md").read_text()
    assert "## toy" in page and "| glow" in page and "pca" in page
    assert len(list((tmp_path / "results" / "calibration" / "references").iterdir())) == 2


def test_parameters_are_refused_and_a_failed_floor_is_told(cabench, plugins, tmp_path):
    words = ["calibrate", "--data-seeds", "0", "--tier", "smoke", "--plugin", plugins / "toy.py"]
    refused = cabench(*words, "--datasets", "toy[noise=0.3]")
    assert refused.returncode == 2 and "without parameters" in refused.stderr
    text = (
        (plugins / "corner.py").read_text().replace('kind = "reference"', 'kind = "reference"\n    role = "floor"')
    )
    (tmp_path / "floor.py").write_text(text.replace("return self", "raise MemoryError"))
    done = cabench(*words, "--datasets", "toy", "--plugin", tmp_path / "floor.py")
    assert done.returncode == 1 and "Failed: " in done.stderr and "MemoryError" in done.stderr
    assert "pca" in done.stdout
