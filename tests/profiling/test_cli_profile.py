"""`cabench profile`: what it writes, and one sentence for what it cannot do."""

import json

import pytest
import torch

from cabench.__main__ import main
from cabench.cli.main import cli
from cabench.losses import backends


def test_a_profile_is_printed_and_written(cabench, tmp_path):
    args = ["--kernels", "uniformity", "--sizes", "64,128", "--backends", "reference,tiled", "--measure-peaks"]
    files = ["--json", "new/p.json", "--csv", "p.csv", "--plot", "p.png"]
    done = cabench("profile", *args, *files)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("uniformity") == 8 and "of the roof" in done.stdout
    profile = json.loads((tmp_path / "new" / "p.json").read_text())
    assert profile["finished"] and len(profile["rows"]) == 8
    assert profile["environment"]["peaks"]["source"] == "measured"
    assert all(row["status"] == "ok" and row["roofline"] > 0 for row in profile["rows"])
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 9
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow  # compiles the backends that are there
def test_backends_that_are_absent_by_default_are_told_with_the_reason(cabench, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = cabench("profile", "--kernels", "supervised_alignment", "--sizes", "2", "--modes", "forward")
    assert done.returncode == 0, done.stderr
    assert "triton is absent: The backend 'triton' needs tensors on a GPU" in done.stdout


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--kernels", "uniformty"], "Did you mean 'uniformity'?"),
        (["--backends", "tilde"], "Did you mean 'tiled'?"),
        (["--precisions", "exakt"], "Did you mean 'exact'?"),
        (["--modes", "ful"], "Did you mean 'full'?"),
        (["--sizes", "1"], "A size is 2 to 1024 rows or a multiple of 1024, not 1."),
        (["--sizes", "1500"], "not 1500"),
        (["--sizes", "many"], "Sizes are numbers of rows"),
        (["--sizes", ","], "The list of sizes is empty"),
        (["--suite", "gpus"], "Did you mean 'gpu'?"),
        (["--suite", "cpu", "--device", "cpu"], "leave out --device"),
        (["--plot", "p.svg"], "The plot is a .png file"),
        (["--trace", "t.json", "--sizes", "64"], "leave out --sizes"),
        (["--trace", "t.json", "--method", "pca"], "'pca' is not trained by steps"),
        (["--method", "cvae"], "name its file"),
        (["--suite", "gpu"], "needs a CUDA device"),
        (["--device", "cuda"], "no CUDA device"),
        (["--backends", "triton"], "needs tensors on a GPU"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(args, sentence, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["cabench", "profile", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert sentence in said and said.startswith("Error: ") and len(said.splitlines()) == 1


def test_a_failed_row_is_told_and_exit_1(monkeypatch, capsys):
    def broken(*args, **how):
        raise ValueError("planted")

    monkeypatch.setattr(backends.load("tiled"), "uniformity", broken)
    with pytest.raises(SystemExit) as stop:
        cli(["profile", "--kernels", "uniformity", "--sizes", "64", "--backends", "reference,tiled"])
    assert stop.value.code == 1
    assert "uniformity 64 tiled exact forward and 1 more: failed: ValueError: planted" in capsys.readouterr().out
