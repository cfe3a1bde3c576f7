"""Figures of single runs, on real runs of toys: each method's first run, whole, or a sheet that says why not."""

import json

import numpy as np
import pytest
from conftest import PLUGINS
from figure_texts import overlaps, said

from cabench import registry
from cabench.codes_file import CODES_FILE
from cabench.execute import execute
from cabench.model_file import MODEL_FILE
from cabench.plan import make_plan
from cabench.report import write
from cabench.report.gather import gather
from cabench.report.runs import NAMES, RunFigures, best_runs, first_runs
from cabench.report.write import Made, write_report
from cabench.store import Store

FILES = (PLUGINS / "toy.py", PLUGINS / "corner.py", PLUGINS / "raising.py")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two seeds of a method that draws images, of one that does not, and of one that fails."""
    made = Store(tmp_path_factory.mktemp("results"))
    execute(make_plan("corner,cvae[epochs=2,batch_size=16],raising", "toy", "1,2", "smoke", plugins=FILES), made)
    return made


@pytest.fixture
def figures(store):
    return RunFigures(gather(store), store, FILES)


def run(figures, method):
    (record,) = (one for one in first_runs(figures.report) if one["spec"]["method"] == method)
    return record


def test_the_first_finished_run_of_each_method_is_drawn(store, tmp_path):
    paths = write_report(Made(gather(store), store, plugins=FILES), ["runs"], tmp_path)
    drawn = {"corner": NAMES[:3], "cvae": NAMES}
    expected = {
        tmp_path / "figures" / record["run_id"] / f"{name}{suffix}"
        for record in store.records()
        for name in drawn.get(record["spec"]["method"], ())
        for suffix in (".png", ".pdf")
        if record["spec"]["seed"] == 1
    }
    assert len(expected) == 14
    assert set(paths) == expected and all(path.stat().st_size > 1000 for path in paths)
    assert all(b"/Type3" not in path.read_bytes() for path in paths if path.suffix == ".pdf")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_names_its_run_and_no_text_overlaps(figures, name):
    figure = figures.draw(name, run(figures, "cvae"))
    title = "cvae[batch_size=16,epochs=2] on toy, seed 1 (synthetic source, smoke tier)"
    assert title.replace(" ", "") in said(figure).replace(" ", "")  # wherever its lines are broken
    assert overlaps(figure) == ([], [])


def test_neighbours_are_sought_for_the_first_images_of_each_group(figures):
    record = run(figures, "corner")
    test = registry.get("dataset", "toy", FILES).load()().load(source="synthetic", tier="smoke").test
    queries = [*np.flatnonzero(test.y == 0)[:3], *np.flatnonzero(test.y == 1)[:3]]
    shown = [axes.images[0].get_array() for axes in figures.draw("neighbours", record).axes[:6]]
    assert np.array_equal(shown, test.x[queries, 0] / 255)


@pytest.mark.parametrize(
    ("name", "file", "says"),
    [("maps", CODES_FILE, "holds no codes"), ("swaps", MODEL_FILE, "holds no model of 'cvae'")],
)
def test_what_a_run_has_lost_is_said_in_the_place_of_its_figure(figures, name, file, says):
    record = run(figures, "cvae")
    path = figures.store.folder(record["run_id"]) / file
    content = path.read_bytes()
    path.unlink()
    try:
        figure = figures.draw(name, record)
    finally:
        path.write_bytes(content)
    assert f"No {name} of cvae" in said(figure) and says in said(figure)
    assert overlaps(figure) == ([], [])


def test_images_that_are_not_those_of_the_run_are_not_shown(figures):
    record = json.loads(json.dumps(run(figures, "corner")))
    record["provenance"]["data_digest"] = "0" * 64
    assert "no longer those that it was trained on" in said(figures.draw("neighbours", record))


def test_a_plugin_that_was_not_named_is_asked_for(store):
    figures = RunFigures(gather(store), store)
    assert "There is no dataset 'toy'" in said(figures.draw("neighbours", run(figures, "corner")))


def test_the_page_has_maps_of_the_best_run_unless_there_are_too_many(store, monkeypatch):
    report = gather(store)
    (best,) = best_runs(report)
    assert best["spec"]["method"] == "corner" and best["spec"]["seed"] == 1
    caption = "codes of the best CAscore: corner on toy, seed 1"
    page = write.FORMATS["html"][1]
    assert page(Made(report, store)).decode().count(caption) == 2  # a caption and the picture's text
    monkeypatch.setattr(write, "MOST_WITH_MAPS", len(report.records) - 1)
    assert caption not in page(Made(report, store)).decode()
