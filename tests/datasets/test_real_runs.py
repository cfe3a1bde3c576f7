"""From the owners' files to a leaderboard, on the command line: what a user with real data types."""

import json

import pytest
from raw_files import brains, celeba, chexpert, cifar, dsprites, mnist, odir

KEYWORDS = (
    "normal fundus", "mild nonproliferative retinopathy", "glaucoma", "cataract",
    "dry age-related macular degeneration", "pathological myopia",
)  # fmt: skip


def write_chests(root):
    """A radiograph a patient; the sub-types are as many together as there is no finding."""
    sexes, classes = ("Female", "Male"), (0, 1, 0, 2, 0, 3) * 17
    rows = [chexpert.of_class(i, k, age=30 + i % 50, sex=sexes[i // 3 % 2]) for i, k in enumerate(classes, start=1)]
    chexpert.write_chexpert(root, rows)


def write_eyes(root):
    """Two eyes a patient, of the same class."""
    sexes, classes = ("Female", "Male"), (0, 1, 0, 2, 0, 3, 0, 4, 5) * 7
    odir.write_odir(
        root,
        [
            odir.patient(i, KEYWORDS[k], KEYWORDS[k], "NDGCAM"[k], age=40 + i % 30, sex=sexes[i % 2])
            for i, k in enumerate(classes)
        ],
    )


def write_brains(root):
    """A map a subject, on two scanners; patients differ in their symptoms."""
    people = [
        brains.person(
            10001 + i, ("CONTROL", "SCHZ")[i % 2], 20 + i % 30, "FM"[i // 2 % 2], brains.SCANNERS[i // 4 % 2]
        )
        for i in range(104)
    ]
    scores = {
        (scale, person["participant_id"]): brains.ratings(scale, i // step % 5)
        for scale, step in (("sans", 2), ("saps", 10))
        for i, person in enumerate(people)
        if person["diagnosis"] == "SCHZ"
    }
    brains.write_brains(root, people, scores)


def write_objects(root):
    cifar.write_cifar(root, rows=24, test_rows=60)
    mnist.write_mnist(root, rows=120, test_rows=60)


def write_grids(root):
    dsprites.write_dsprites(root, scales=2)
    mnist.write_mnist(root, rows=300, test_rows=60)


TREES = {
    "cifar_mnist": write_objects,
    "celeba_accessories": lambda root: celeba.write_celeba(root, celeba.balanced(15)),
    "dsprites_grid": write_grids,
    "chexpert_subtypes": write_chests,
    "odir_subtypes": write_eyes,
    "schizophrenia_mri": write_brains,
}


IN_CI = "cifar_mnist"  # the others take half a minute each


@pytest.mark.parametrize(
    "name", [name if name == IN_CI else pytest.param(name, marks=pytest.mark.slow) for name in TREES]
)
def test_raw_files_are_prepared_and_end_in_a_leaderboard_of_real_images(name, tmp_path, cabench):
    root, results = tmp_path / "raw", tmp_path / "results"
    root.mkdir()
    TREES[name](root)

    done = cabench("data", "prepare", name, "--data-root", root)
    assert done.returncode == 0, done.stderr
    manifest = root / "prepared" / name / "standard-0" / "manifest.json"
    prepared = manifest.read_bytes()
    assert json.loads(prepared)["unreadable"] == {}

    run = ("run", "--source", "real", "--tier", "smoke", "--methods", "sepclr,pca", "--datasets", name)
    done = cabench(*run, "--data-root", root, "--results", results, "--set", "epochs=1", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in (results / "runs").glob("*/record.json")]
    assert sorted(record["spec"]["method"] for record in records) == ["pca", "sepclr"]
    for record in records:
        assert (record["spec"]["source"], record["spec"]["dataset"]) == ("real", name)
        assert record["status"] == "done", record["error"]
        assert record["metrics"]
    assert f"{name} (real, smoke tier)" in done.stdout
    assert f"## {name} (real, smoke tier)" in (results / "leaderboard.md").read_text()
    assert manifest.read_bytes() == prepared
