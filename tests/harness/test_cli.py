import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import cabench as package


def toys(plugins, *names):
    return [word for name in ("toy", *names) for word in ("--plugin", plugins / f"{name}.py")]


@pytest.mark.parametrize("args", [["--help"], ["list", "methods"], ["list", "datasets"], ["list", "metrics"]])
def test_help_and_list_answer_at_once(cabench, args):
    times = []
    for _ in range(5):
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = cabench(*args)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert min(times) < 0.3


def test_list_imports_neither_torch_nor_a_plugin():
    code = (
        "import sys; from click.testing import CliRunner; from cabench.cli.main import cli\n"
        "for args in (['--help'], ['list', 'methods'], ['list', 'datasets', '--json'], ['list', 'metrics']):\n"
        "    assert CliRunner().invoke(cli, args).exit_code == 0\n"
        "heavy = {'torch', 'pandas', 'sklearn', 'pytorch_lightning', 'torchvision', 'matplotlib'}\n"
        "heavy &= set(sys.modules); assert not heavy, heavy\n"
        "assert not any(m.startswith(('cabench.methods.', 'cabench.datasets.')) for m in sys.modules)\n"
    )
    where = Path(package.__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=where)


def test_list_json_names_the_six_datasets(cabench):
    rows = json.loads(cabench("list", "datasets", "--json").stdout)
    assert {row["name"] for row in rows} == {
        "celeba_accessories",
        "chexpert_subtypes",
        "cifar_mnist",
        "dsprites_grid",
        "odir_subtypes",
        "schizophrenia_mri",
    }
    assert all(row["title"] and row["modality"] and row["licence"] and row["obtain"] for row in rows)


@pytest.mark.parametrize("name", ["sepclr", "cifar_mnist"])
def test_describe_gives_parameters_and_factors(cabench, name):
    card = json.loads(cabench("describe", name, "--json").stdout)
    assert card["name"] == name
    assert card["settings" if card["plugin"] == "method" else "factors"]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["run", "--methods", "sepclt"], "Did you mean 'sepclr'?"),
        (["run", "--datasets", "cifar_mnits"], "Did you mean 'cifar_mnist'?"),
        (["run", "--tier", "quik"], "Did you mean 'quick'?"),
        (["run", "--seeds", "0-5"], "Seeds are written"),
        (["run", "--methods", "sepclr[salient_dims=3]"], "Did you mean 'salient_dim'?"),
        (["rum"], "Did you mean 'run'?"),
        (["describe", "cave"], "Did you mean 'cvae'?"),
        (["report", "--results", "nowhere"], "no records in nowhere"),
        (["run", "--device", "cdua"], "Did you mean 'cuda'?"),
        (["run", "--plugin", "nowhere.py"], "nowhere.py does not exist"),
        (["run", "--methods", "pca", "--datasets", "cifar_mnist", "--source", "real"], "--data-root"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(cabench, args, sentence):
    done = cabench(*args)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_run_writes_records_and_the_leaderboard_and_is_not_repeated(cabench, plugins, tmp_path):
    args = ["run", "--methods", "corner", "--datasets", "toy", "--tier", "smoke", *toys(plugins, "corner")]
    first = cabench(*args)
    assert first.returncode == 0, first.stderr
    assert "corner" in first.stdout
    assert "\x1b[" not in first.stdout
    board = (tmp_path / "results" / "leaderboard.md").read_text()
    assert "toy (synthetic, smoke tier)" in board
    assert (tmp_path / "results" / "leaderboard.csv").read_text().startswith("dataset,")
    (record,) = (tmp_path / "results" / "runs").glob("*/record.json")
    written = record.stat().st_mtime_ns
    second = cabench(*args)
    assert second.returncode == 0
    assert "kept" in second.stdout
    assert record.stat().st_mtime_ns == written


def test_a_failing_cell_is_recorded_and_the_rest_finish(cabench, plugins, tmp_path):
    methods = "raising,wrong,wrong[how=rows],wrong[how=tuple],corner"
    done = cabench(
        *["run", "--methods", methods, "--datasets", "toy", "--tier", "smoke"],
        *toys(plugins, "raising", "wrong", "corner"),
    )
    assert done.returncode == 1
    records = [json.loads(p.read_text()) for p in (tmp_path / "results" / "runs").glob("*/record.json")]
    errors = {r["label"]: r["error"] for r in records if r["status"] == "failed"}
    assert "the optimiser diverged" in errors["raising"]
    assert "not finite" in errors["wrong"]
    assert "must have shape" in errors["wrong[how=rows]"]
    assert "must return Codes" in errors["wrong[how=tuple]"]
    assert [r["label"] for r in records if r["status"] == "done"] == ["corner"]
    assert "the optimiser diverged" in (tmp_path / "results" / "leaderboard.md").read_text()


def test_dry_run_shows_the_plan_and_writes_nothing(cabench, plugins, tmp_path):
    done = cabench(
        "run",
        "--methods",
        "corner",
        "--datasets",
        "toy",
        "--seeds",
        "0:3",
        "--dry-run",
        *toys(plugins, "corner"),
    )
    assert done.returncode == 0
    assert "3 cells" in done.stdout
    assert not (tmp_path / "results").exists()


def test_an_unwritable_results_folder_is_refused_before_training(cabench, plugins, tmp_path):
    (tmp_path / "file").write_text("")
    done = cabench(
        *["run", "--methods", "corner", "--datasets", "toy", "--results", tmp_path / "file" / "r"],
        *toys(plugins, "corner"),
    )
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_preview_draws_a_picture(cabench, tmp_path):
    from PIL import Image

    done = cabench("data", "preview", "cifar_mnist", "--out", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "sheet.png").size[0] > 300
