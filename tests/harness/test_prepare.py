"""Preparing a toy data set of 400 images that its reader makes in memory; 40 chunks of ten images."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from processes import wait_until

import cabench as package
from cabench import prepare as preparing
from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, RawFile, Recipe, Unreadable
from cabench.errors import DataMissing, UserError
from cabench.prepare import prepare
from cabench.prepared import is_current, load_prepared, prepared_folder, remove, traces, verify

N, SHAPE, CHUNK = 400, (1, 4, 4), 160
PARTS = ("train", "validation", "test")


class Specks(Dataset):
    """Every pixel of image k is k modulo 251, or `shade.txt` says otherwise; `bad.txt` names unreadable images."""

    name = "specks"
    title = "Specks"
    modality = "toy"
    licence = "none"
    obtain = "The test writes them."
    files = (RawFile("specks/labels.csv"), RawFile("specks/shade.txt"))
    factors = (
        Factor("side", "salient", "target", ("left", "right"), main=True),
        Factor("age", "common", "all", unit="years"),
    )
    augmentation = Augmentation(size=4)
    sizes = {"smoke": (40, 20, 20), "quick": (100, 20, 20), "paper": (1, 1, 1)}

    def synthetic(self, n, seed, part, wear=None):
        raise NotImplementedError

    def recipe(self, root):
        table = pd.read_csv(root / "specks/labels.csv", dtype={"id": str})
        table["part"] = [
            (["train"] * 8 + ["validation", "test"])[(g + self.data_seed) % 10] for g in table["group"]
        ]
        table["raw_k"] = table["id"].str[1:].astype(int)
        sources = ("specks/labels.csv", "specks/shade.txt")
        return Recipe(table, SHAPE, self.factors, {"rows without age": 3}, sources)

    def reader(self, root, table):
        shade = int((root / "specks/shade.txt").read_text())
        listed = root / "specks/bad.txt"
        bad = set(listed.read_text().split()) if listed.exists() else set()

        def read(row):
            if os.environ.get("SPECKS_DELAY"):
                time.sleep(0.004)
            with (root / "reads").open("ab") as log:
                log.write(b".")
            if row.id in bad:
                raise Unreadable("its end is missing")
            return np.full(SHAPE, (row.raw_k + shade) % 251, np.uint8)

        return read


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(preparing, "CHUNK_BYTES", CHUNK)


def write_raw(root, n=N):
    k = np.arange(n)
    y = (k % 3 == 0).astype(int)
    side = np.where(y == 1, k // 3 % 2, np.nan)
    age = np.where(k % 7 == 0, np.nan, 20 + k % 50)
    table = pd.DataFrame({"id": [f"i{i}" for i in k], "target": y, "group": k // 2, "side": side, "age": age})
    (root / "specks").mkdir(parents=True)
    table.to_csv(root / "specks/labels.csv", index=False)
    (root / "specks/shade.txt").write_text("0")
    return root


@pytest.fixture
def root(tmp_path):
    return write_raw(tmp_path / "root")


@pytest.fixture
def undisturbed(tmp_path):
    """The manifest's bytes of a preparation in one go, elsewhere."""
    return (prepare(Specks(), write_raw(tmp_path / "undisturbed")) / "manifest.json").read_bytes()


def spoil(root, *ids):
    (root / "specks/bad.txt").write_text(" ".join(ids))


def reads(root):
    return (root / "reads").stat().st_size


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def stop_at(monkeypatch, k, error=None):
    """Let the reader raise at image k; returns what restores it."""
    whole = Specks.reader

    def reader(self, root, table):
        read = whole(self, root, table)

        def stopping(row):
            if row.raw_k == k:
                raise error or DataMissing("the archive ends here")
            return read(row)

        return stopping

    monkeypatch.setattr(Specks, "reader", reader)
    return lambda: monkeypatch.setattr(Specks, "reader", whole)


def in_a_process(root, **environment):
    code = (
        "import importlib.util, sys; from pathlib import Path; from cabench import prepare\n"
        "spec = importlib.util.spec_from_file_location('specks', sys.argv[1])\n"
        "toy = importlib.util.module_from_spec(spec); spec.loader.exec_module(toy)\n"
        "prepare.CHUNK_BYTES = toy.CHUNK\n"
        "prepare.prepare(toy.Specks(), Path(sys.argv[2]), jobs=2)\n"
    )
    # The package, and what this file imports.
    folders = Path(package.__file__).parent.parent, Path(__file__).parent.parent
    where = {"PYTHONPATH": os.pathsep.join(map(str, folders)), **environment}
    return subprocess.Popen([sys.executable, "-c", code, __file__, str(root)], env={**os.environ, **where})


def test_pixels_and_labels_stand_in_the_same_order_with_the_parts_together(root):
    folder = prepare(Specks(), root)
    assert {p.name for p in folder.iterdir()} == {"pixels.npy", "labels.parquet", "manifest.json"}
    pixels, table = np.load(folder / "pixels.npy"), pd.read_parquet(folder / "labels.parquet")
    assert pixels.shape == (N, *SHAPE)
    assert (pixels == (table["id"].str[1:].astype(int).to_numpy() % 251)[:, None, None, None]).all()
    assert not [name for name in table.columns if name.startswith("raw_")]
    assert table["part"].drop_duplicates().tolist() == list(PARTS)
    assert table.groupby("group")["part"].nunique().max() == 1


def test_the_manifest_counts_every_cell_and_names_seed_sources_and_what_was_left_out(root):
    folder = prepare(Specks(data_seed=1), root)
    manifest, table = manifest_of(folder), pd.read_parquet(folder / "labels.parquet")
    assert manifest["data_seed"] == 1
    assert manifest["left_out"] == {"rows without age": 3}
    assert set(manifest["sources"]) == {"specks/labels.csv", "specks/shade.txt"}
    for part, counts in manifest["splits"].items():
        here = table[table["part"] == part]
        assert counts["images"] == len(here) == counts["background"] + counts["target"]
        assert counts["target"] == here["target"].sum()
        assert counts["groups"] == here["group"].nunique()
        sides = {"left": (here["side"] == 0).sum(), "right": (here["side"] == 1).sum()}
        assert counts["counts"]["side"] == sides | {"missing": here["side"].isna().sum()}
    digests = {counts["ids_sha256"] for counts in manifest["splits"].values()}
    assert len(digests) == 3
    assert digests != {c["ids_sha256"] for c in manifest_of(prepare(Specks(), root))["splits"].values()}


def test_threads_do_not_change_the_result(root, undisturbed):
    seen = []
    folder = prepare(Specks(), root, jobs=4, progress=lambda done, total: seen.append((done, total)))
    assert (folder / "manifest.json").read_bytes() == undisturbed
    assert seen == [(done, N) for done in range(10, N + 1, 10)]


def test_each_variant_and_data_seed_has_a_folder_of_its_own(root):
    datasets = [Specks(), Specks(data_seed=1), Specks(variant="official")]
    assert len({prepare(dataset, root) for dataset in datasets}) == 3


def test_what_is_prepared_is_not_read_again_unless_forced(root):
    prepare(Specks(), root)
    prepare(Specks(), root)
    assert reads(root) == N
    prepare(Specks(), root, force=True)
    assert reads(root) == 2 * N


def test_a_forced_preparation_that_fails_leaves_the_earlier_one(root, monkeypatch):
    folder = prepare(Specks(), root)
    stop_at(monkeypatch, 200)
    with pytest.raises(DataMissing):
        prepare(Specks(), root, force=True)
    verify(folder, root)


def test_a_preparation_that_fails_leaves_no_folder(root, monkeypatch):
    stop_at(monkeypatch, 200)
    with pytest.raises(DataMissing, match="the archive ends here"):
        prepare(Specks(), root)
    assert not prepared_folder(Specks(), root).exists()
    with pytest.raises(DataMissing, match="holds no whole preparation"):
        verify(prepared_folder(Specks(), root))


def test_kill_9_leaves_no_folder_and_the_next_call_ends_with_the_same_manifest(root, undisturbed):
    process = in_a_process(root, SPECKS_DELAY="1")
    folder = prepared_folder(Specks(), root)
    journal = folder.with_name(folder.name + ".partial") / "journal.jsonl"
    wait_until(lambda: journal.exists() and len(journal.read_text().splitlines()) > 8)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not folder.exists()
    before = reads(root)
    assert before < N
    assert (prepare(Specks(), root) / "manifest.json").read_bytes() == undisturbed
    assert reads(root) - before <= N - 80
    assert verify(folder, root)
    assert not folder.with_name(folder.name + ".partial").exists()


@pytest.mark.parametrize("step", ["_decode", "_compact", "_manifest"])
def test_a_break_at_any_step_changes_nothing_in_the_end(root, tmp_path, monkeypatch, step):
    other = write_raw(tmp_path / "other")
    for place in (root, other):
        spoil(place, "i7", "i300")
    whole = getattr(preparing, step)

    def breaking(*args):
        whole(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, step, breaking)
    with pytest.raises(KeyboardInterrupt):
        prepare(Specks(), root)
    assert not prepared_folder(Specks(), root).exists()
    monkeypatch.setattr(preparing, step, whole)
    ours, theirs = prepare(Specks(), root), prepare(Specks(), other)
    assert (ours / "manifest.json").read_bytes() == (theirs / "manifest.json").read_bytes()
    verify(ours, root)


def test_a_torn_journal_costs_only_its_torn_line(root, undisturbed, monkeypatch):
    restore = stop_at(monkeypatch, 399)
    with pytest.raises(DataMissing):
        prepare(Specks(), root, jobs=1)
    partial = prepared_folder(Specks(), root).with_name("standard-0.partial")
    journal = partial / "journal.jsonl"
    first, torn, *rest = journal.read_text().splitlines()
    journal.write_text("\n".join([first, torn[:12], *rest, rest[-1][:5]]))
    before = reads(root)
    restore()
    assert (prepare(Specks(), root) / "manifest.json").read_bytes() == undisturbed
    assert reads(root) - before == N - 10 * len(rest)


@pytest.mark.parametrize("file", ["pixels.npy", "journal.jsonl"])
@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_damaged_half_is_thrown_away(root, undisturbed, monkeypatch, file, content):
    restore = stop_at(monkeypatch, 399)
    with pytest.raises(DataMissing):
        prepare(Specks(), root)
    path = prepared_folder(Specks(), root).with_name("standard-0.partial") / file
    path.unlink() if content is None else path.write_bytes(content)
    restore()
    assert (prepare(Specks(), root) / "manifest.json").read_bytes() == undisturbed


def test_a_half_of_another_table_source_or_chunk_size_is_thrown_away(root, tmp_path, monkeypatch):
    def change_table(place):
        if place == root:
            broken(monkeypatch, table=lambda r: r.table.assign(raw_k=r.table["raw_k"] + 1))

    def change_source(place):
        (place / "specks/shade.txt").write_text("100")

    def change_chunks(place):
        monkeypatch.setattr(preparing, "CHUNK_BYTES", 2 * CHUNK)

    for change in (change_table, change_source, change_chunks):
        restore = stop_at(monkeypatch, 399)
        with pytest.raises(DataMissing):
            prepare(Specks(), root)
        restore()
        fresh = write_raw(tmp_path / change.__name__)
        for source in (root / "specks").iterdir():
            (fresh / "specks" / source.name).write_bytes(source.read_bytes())
        change(root)
        change(fresh)
        before = reads(root)
        ours, theirs = prepare(Specks(), root), prepare(Specks(), fresh)
        assert (ours / "manifest.json").read_bytes() == (theirs / "manifest.json").read_bytes(), change
        assert reads(root) - before == N, change
        remove(ours)


def test_unreadable_images_are_listed_counted_and_their_rows_closed_up(root):
    spoil(root, "i7", "i300")
    folder = prepare(Specks(), root)
    manifest = manifest_of(folder)
    assert manifest["unreadable"] == {"i7": "its end is missing", "i300": "its end is missing"}
    assert sum(counts["images"] for counts in manifest["splits"].values()) == N - 2
    pixels, table = np.load(folder / "pixels.npy"), pd.read_parquet(folder / "labels.parquet")
    assert not table["id"].isin(["i7", "i300"]).any()
    assert (pixels[:, 0, 0, 0] == table["id"].str[1:].astype(int) % 251).all()
    assert verify(folder, root) == manifest


def test_a_preparation_stops_above_one_per_cent_of_unreadable_images_and_goes_on_when_they_are_restored(
    root, undisturbed
):
    spoil(root, *(f"i{100 * i}" for i in range(4)))
    remove(prepare(Specks(), root))
    spoil(root, *(f"i{70 * i}" for i in range(5)))
    sentence = r"5 of 400 images of 'specks' cannot be read, more than 1%; the first is i0: its end is missing\."
    with pytest.raises(DataMissing, match=sentence):
        prepare(Specks(), root)
    assert not prepared_folder(Specks(), root).exists()
    before = reads(root)
    spoil(root)
    assert (prepare(Specks(), root) / "manifest.json").read_bytes() == undisturbed
    assert reads(root) - before == 50  # only the chunks in which they lie


def test_an_image_of_another_shape_or_type_is_unreadable(root, monkeypatch):
    def reader(self, root, table):
        odd = {3: np.zeros((1, 4, 5), np.uint8), 4: np.zeros(SHAPE)}
        return lambda row: odd.get(row.raw_k, np.zeros(SHAPE, np.uint8))

    monkeypatch.setattr(Specks, "reader", reader)
    unreadable = manifest_of(prepare(Specks(), root))["unreadable"]
    assert "(1, 4, 5)" in unreadable["i3"]
    assert "float64" in unreadable["i4"]


def test_a_raw_file_that_the_system_cannot_read_is_named_and_not_taken_for_a_full_disk(root, monkeypatch):
    stop_at(monkeypatch, 5, OSError(5, "Input/output error"))
    with pytest.raises(DataMissing, match=r"image i5 could not be read .*Input/output error"):
        prepare(Specks(), root)


def test_another_recipe_version_is_prepared_anew(root, monkeypatch):
    folder = prepare(Specks(), root)
    monkeypatch.setattr(Specks, "recipe_version", 2)
    assert not is_current(Specks(), folder)
    assert manifest_of(prepare(Specks(), root))["recipe_version"] == 2
    assert reads(root) == 2 * N


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1}', '{"files": {}, "sources": {}}'])
def test_a_manifest_that_is_none_is_a_sentence_and_is_made_anew(root, text):
    folder = prepare(Specks(), root)
    (folder / "manifest.json").write_text(text)
    assert not is_current(Specks(), folder)
    with pytest.raises(DataMissing, match="holds no whole preparation"):
        verify(folder)
    prepare(Specks(), root)
    verify(folder, root)


@pytest.mark.parametrize(
    "change",
    [
        {"factors": [5]},
        {"factors": [{"name": "a"}]},
        {"splits": 5},
        {"splits": {}},
        {"splits": {"train": {"images": "n"}}},
    ],
    ids=str,
)
def test_a_manifest_that_nobody_could_load_does_not_pass(root, change):
    folder = prepare(Specks(), root)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataMissing, match="holds no whole preparation"):
        verify(folder)


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("file", ["pixels.npy", "labels.parquet"])
def test_verify_finds_a_missing_end_at_once_and_a_flipped_byte_when_full(root, file):
    folder = prepare(Specks(), root)
    assert verify(folder) == verify(folder, root) == manifest_of(folder)
    flip(folder / file, 1000)
    verify(folder)
    with pytest.raises(DataMissing, match=f"{file} is not what its manifest says"):
        verify(folder, root)
    (folder / file).write_bytes((folder / file).read_bytes()[:-1])
    with pytest.raises(DataMissing, match=f"{file} is not what its manifest says"):
        verify(folder)
    (folder / file).unlink()
    with pytest.raises(DataMissing, match="holds no whole preparation"):
        verify(folder)


@pytest.mark.parametrize("change", [lambda path: path.write_text("1"), Path.unlink])
def test_a_full_verify_finds_a_changed_or_missing_source(root, change):
    folder = prepare(Specks(), root)
    change(root / "specks/shade.txt")
    verify(folder)
    with pytest.raises(DataMissing, match=r"specks/shade.txt is missing or has changed"):
        verify(folder, root)


def test_the_paper_tier_has_every_image_mapped_from_disk(root):
    splits = load_prepared(Specks(), prepare(Specks(), root), "paper")
    assert sum(len(getattr(splits, part)) for part in PARTS) == N
    for part in PARTS:
        split = getattr(splits, part)
        assert isinstance(split.x, np.memmap)
        table = pd.read_parquet(prepared_folder(Specks(), root) / "labels.parquet").query("part == @part")
        assert (split.x[:, 0, 0, 0] == table["id"].str[1:].astype(int) % 251).all()
        assert np.array_equal(split.labels["age"], table["age"], equal_nan=True)
        assert np.array_equal(split.groups, table["group"])
    assert [factor.name for factor in splits.factors] == ["side", "age", "target"]
    assert splits.factors[:2] == Specks.factors


def test_writing_into_a_loaded_image_does_not_reach_the_disk(root):
    splits = load_prepared(Specks(), prepare(Specks(), root), "paper")
    splits.train.x[:] = 77
    verify(prepared_folder(Specks(), root), root)


@pytest.mark.parametrize("tier", ["smoke", "quick"])
def test_smaller_tiers_are_capped_with_both_groups_in_their_shares_and_drawn_the_same_each_time(root, tier):
    first, second = (Specks().load("real", root, tier=tier) for _ in range(2))
    whole = Specks().load("real", root, tier="paper")
    for part, limit in zip(PARTS, Specks.sizes[tier], strict=True):
        small, large = getattr(first, part), getattr(whole, part)
        assert len(small) == limit < len(large)
        assert abs(small.y.sum() - limit * large.y.mean()) <= 0.5
        assert small.digest() == getattr(second, part).digest()
        assert np.array_equal(small.labels["target"], small.y)
        assert set(small.groups) <= set(large.groups)
    assert first.train.digest() != Specks(data_seed=10).load("real", root, tier=tier).train.digest()


def test_two_processes_that_prepare_at_once_give_one_result(root, undisturbed):
    processes = [in_a_process(root, SPECKS_DELAY="1") for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    folder = prepared_folder(Specks(), root)
    assert (folder / "manifest.json").read_bytes() == undisturbed
    assert reads(root) == N
    assert verify(folder, root)


@pytest.mark.parametrize("place", ["prepared", "prepared/specks", "prepared/specks/standard-0"])
def test_a_file_in_the_way_is_one_sentence(root, place):
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text("in the way")
    with pytest.raises(
        UserError, match=r"^[^\n]*standard-0 could not be written \([^\n]*another --data-root[^\n]*$"
    ):
        prepare(Specks(), root)
    assert (root / place).read_text() == "in the way"


def test_a_read_only_root_is_one_sentence(root, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    # Permissions would not do: tests may run as root, who may write anywhere.
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r"could not be written \(Permission denied\)"):
        prepare(Specks(), root)


def broken(monkeypatch, **changes):
    whole = Specks.recipe

    def recipe(self, root):
        made = whole(self, root)
        return dataclasses.replace(made, **{key: change(made) for key, change in changes.items()})

    monkeypatch.setattr(Specks, "recipe", recipe)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda r: r.table.iloc[:0], DataMissing, "keeps no image of these files .3 rows without age"),
        (lambda r: r.table.assign(id="i1"), DataMissing, "lists the image i1 twice"),
        (lambda r: r.table.assign(target=0), DataMissing, "needs background and target images in train"),
        (lambda r: r.table.assign(group=0), AssertionError, "one group on two sides"),
    ],
)
def test_a_recipe_that_breaks_its_contract_is_refused(root, monkeypatch, change, error, sentence):
    broken(monkeypatch, table=change)
    with pytest.raises(error, match=sentence):
        prepare(Specks(), root)


def test_a_split_that_shares_groups_says_so_in_the_manifest(root, monkeypatch):
    broken(monkeypatch, table=lambda r: r.table.assign(group=0), shares_groups=lambda r: True)
    assert manifest_of(prepare(Specks(), root))["shares_groups"] is True


def test_remove_takes_every_trace_and_no_raw_file(root, monkeypatch):
    folder = prepare(Specks(), root)
    stop_at(monkeypatch, 399)
    with pytest.raises(DataMissing):
        prepare(Specks(), root, force=True)
    assert len(traces(folder)) == 3
    remove(folder)
    assert traces(folder) == []
    remove(folder)
    assert (root / "specks/labels.csv").exists()


def test_remove_does_not_pull_the_rug_from_under_a_preparation(root):
    process = in_a_process(root, SPECKS_DELAY="1")
    folder = prepared_folder(Specks(), root)
    wait_until(lambda: folder.with_name(folder.name + ".partial").exists())
    with pytest.raises(UserError, match="is being prepared by another process"):
        remove(folder)
    assert process.wait(timeout=120) == 0
    verify(folder, root)
