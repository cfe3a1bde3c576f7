"""Figures show the report's numbers, the same method in the same colour, and what is missing."""

import zlib
from itertools import product

import numpy as np
import pytest
from figure_texts import overlaps, said, texts
from matplotlib.colors import same_color, to_hex
from matplotlib.text import Text
from page_records import stored

from cabench.codes import TARGET, Codes, Factor
from cabench.codes_file import CODES_FILE, write_codes
from cabench.errors import UserError
from cabench.metrics.evidence import Evidence, Part
from cabench.metrics.separation import gain
from cabench.report.figures import FIGURES, drawer, save
from cabench.report.figures._parts import styles, text_width, wrapped
from cabench.report.figures.cost import cost
from cabench.report.figures.curves import curves
from cabench.report.figures.heatmap import heatmap, scores
from cabench.report.figures.maps import maps, projected
from cabench.report.figures.neighbours import neighbours
from cabench.report.figures.plane import plane
from cabench.report.figures.ranks import mean_ranks, ranks
from cabench.report.frame import frame
from cabench.report.gather import Report, gather
from cabench.report.scores import aggregate
from cabench.stats import seed_interval
from cabench.store import Store

OF_REPORTS = {"plane": plane, "heatmap": heatmap, "ranks": ranks, "cost": cost}
FACTORS = (("digit", "salient", 0.1), ("object", "common", 0.1))
HOSTILE = [
    r"$\alpha_{x}$ <b>",
    "$unclosed_",
    "W" * 70,
    "very long " * 15 + "name",
    "m[a=1.0,b=2.0,c=" + "x" * 30 + "]",
]


def record(method, dataset="d", seed=0, status="done", ceiling=0.9, source="synthetic", history=(), **values):
    draw = np.random.default_rng(zlib.crc32(f"{method} {dataset} {seed}".encode())).uniform
    named = {"info": draw(0.2, 0.9), "leak": draw(0.1, 0.6), "CAscore": draw(0.2, 0.8), "fit_cpu_s": draw(5, 50)}
    blank = {"factor": None, "space": None, "home": None, "rows": "all", "chance": None, "ceiling": None}
    blank |= {"direction": "higher", "n": 9, "family": "probe"}
    rows = [blank | {"name": name, "value": value} for name, value in (named | values).items() if value is not None]
    for factor, home, chance in FACTORS:
        for space in ("common", "salient"):
            probe = {"name": "balanced_accuracy", "factor": factor, "space": space, "home": home}
            rows.append(blank | probe | {"value": draw(0.1, 1.0), "chance": chance, "ceiling": ceiling})
    done = status == "done"
    return {
        "schema_version": 2,
        "run_id": f"{dataset}-{method}-{seed}".replace("/", "_"),
        "label": method,
        "dataset_label": dataset,
        "spec": {"dataset": dataset, "method": method, "source": source, "tier": "quick", "seed": seed}
        | {"params": {}, "dataset_params": {}},
        "status": status,
        "error": None if done else "RuntimeError: it broke",
        "metrics": rows if done else [],
        "families": {},
        "training": {"history": list(history)} if done else {},
        "provenance": {"started": "2026-01-01", "wall_s": 2.0, "cpu_s": 3.0},
    }


def report_of(records, **more):
    return Report(records, frame(records), **more)


def report(methods=("a", "b", "c"), datasets=("d",), seeds=3):
    return report_of([record(m, d, s) for m in methods for d in datasets for s in range(seeds)])


def markers(axes, method, names):
    """Return the points and bars drawn in a method's style: (x, y) arrays; a bar of NaN is none."""
    style = styles(names)[method]
    lines = [line for line in axes.get_lines() if same_color(line.get_color(), style["color"])]
    points = [line.get_xydata() for line in lines if line.get_marker() == style["marker"]]
    found = [pair for made in axes.collections for pair in zip(made.get_segments(), made.get_colors(), strict=True)]
    return points, [bar for bar, colour in found if len(bar) and to_hex(colour) == style["color"]]


@pytest.mark.parametrize(("draw", "x", "y"), [(plane, "leak", "info"), (cost, "fit_cpu_s", "CAscore")])
def test_a_point_is_the_mean_and_its_bars_the_interval_of_the_leaderboard(draw, x, y):
    told = report("abc", ["d", "e"])
    table = aggregate(told.table).set_index(["dataset", "method", "name"])
    for axes, dataset in zip(draw(told).axes, "de", strict=True):
        assert axes.get_title() == dataset
        for method in "abc":
            across, up = table.loc[(dataset, method, x)], table.loc[(dataset, method, y)]
            (point,), bars = markers(axes, method, "abc")
            assert point[0] == pytest.approx([across["mean"], up["mean"]])
            assert bars[0] == pytest.approx(np.array([[across["low"], up["mean"]], [across["high"], up["mean"]]]))
            assert bars[1] == pytest.approx(np.array([[across["mean"], up["low"]], [across["mean"], up["high"]]]))
    values = told.table[(told.table["name"] == y) & (told.table["method"] == "a") & (told.table["dataset"] == "d")]
    assert table.loc[("d", "a", y)]["low"] == pytest.approx(seed_interval(values["value"]).low)


def test_two_seeds_have_a_point_and_no_bar():
    (axes,) = plane(report("a", seeds=2)).axes
    (point,), bars = markers(axes, "a", "a")
    assert np.isfinite(point).all()
    assert bars == []


def test_seeds_that_agree_have_a_bar_of_no_width():
    told = report_of([record("a", seed=s, info=0.1 + 0.2, leak=0.7, CAscore=0.1, fit_cpu_s=0.0) for s in range(3)])
    for draw in OF_REPORTS.values():
        assert draw(told)


def test_the_ideal_is_marked_without_leak_and_with_all_info():
    (axes,) = plane(report("a")).axes
    (star,) = [line for line in axes.get_lines() if line.get_marker() == "*"]
    assert star.get_xydata().tolist() == [[0, 1]]
    assert "ideal" in texts(axes)


def test_the_front_holds_who_is_beaten_only_by_slower_ones():
    at = {"a": (1.0, 0.4), "b": (2.0, 0.3), "c": (3.0, 0.6), "d": (3.0, 0.5), "e": (0.0, 0.1)}
    told = report_of([record(m, fit_cpu_s=x, CAscore=y) for m, (x, y) in at.items()])
    (axes,) = cost(told).axes
    (line,) = [line for line in axes.get_lines() if line.get_drawstyle() == "steps-post"]
    assert line.get_xydata().tolist() == [[0.0, 0.1], [1.0, 0.4], [3.0, 0.6]]
    low, high = axes.get_xlim()
    assert low < 0 < 3 < high


def test_a_cell_of_the_heat_map_is_the_mean_score_coloured_by_its_gain():
    told = report("ab", ["d"])
    axes = heatmap(told).axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["digit salient ↑", "digit common ↓", "object common ↑", "object salient ↓"]
    colours = axes.collections[0].get_array()
    table = aggregate(told.table).set_index(["factor", "space", "method"])["mean"]
    printed = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    for j, row in enumerate(rows):
        for i, method in enumerate("ab"):
            mean = table[(*row.split()[:2], method)]
            assert printed[i + 0.5, j + 0.5] == f"{mean:.2f}"
            assert colours[j, i] == pytest.approx(gain(mean, 0.1, 0.9))


def test_what_has_no_score_is_hatched_and_what_has_no_scale_is_white():
    told = report_of([record("a", ceiling=None), record("b", status="failed")])
    figure = heatmap(told)
    axes = figure.axes[0]
    assert len(axes.texts) == 4
    assert {(patch.get_x(), patch.get_hatch()) for patch in axes.patches} == {(1, "////")}
    assert len(axes.patches) == 4
    assert np.ma.getmaskarray(axes.collections[0].get_array()).all()
    assert "d: failed: b." in said(figure)


def test_the_method_that_is_the_ceiling_is_measured_by_the_others_ceiling():
    told = report_of([record("a"), record("top", ceiling=None)])
    assert scores(told, "d")[1]["top"].notna().all()


def test_a_rank_is_the_mean_of_the_data_sets_ranks_and_ties_share_theirs():
    means = {"a": (0.9, 0.1), "b": (0.5, 0.5), "c": (0.5, 0.3)}
    cells = {(m, d): np.full(3, v) for m, values in means.items() for d, v in zip("xy", values, strict=True)}
    found = mean_ranks(cells)
    assert found["rank"].to_dict() == {"b": 1.75, "a": 2.0, "c": 2.25}
    assert (found["low"] == found["high"]).all()


def test_ranks_vary_with_the_seeds_within_the_ranks_there_are():
    rng = np.random.default_rng(0)
    spread = {"sure": (0.9, 0.001), "even": (0.5, 0.1), "odd": (0.5, 0.1)}
    cells = {(m, d): rng.normal(*spread[m], 3) for m in spread for d in "xyz"}
    found = mean_ranks(cells)
    assert found.loc["sure"].tolist() == [1, 1, 1]
    assert 1 <= found.loc["even", "low"] < found.loc["even", "rank"] <= found.loc["even", "high"] <= 3
    cells["sure", "x"] = cells["sure", "x"][:2]
    assert mean_ranks(cells)["low"].isna().to_dict() == {"sure": True, "even": False, "odd": False}
    cells["sure", "x"] = cells["sure", "x"][:1]
    assert mean_ranks(cells)["low"].isna().all()


def test_the_interval_of_a_rank_is_that_of_all_draws_of_the_seeds():
    seeds = np.array([0.4, 0.5, 0.7])
    means = np.array([np.mean(drawn) for drawn in product(seeds, repeat=3)])
    stretched = seeds.mean() + (means - seeds.mean()) * np.sqrt(3 / 2)
    spread = np.where(stretched > 0.5, 1, 2).std() / np.sqrt(2)
    found = mean_ranks({("a", d): seeds for d in "xy"} | {("b", d): np.full(3, 0.5) for d in "xy"})
    assert found.loc["a", "rank"] == found.loc["a", "low"] == 1
    assert found.loc["a", "high"] == pytest.approx(1 + 2.776 * spread, rel=0.02)  # t with 2 * (3 - 1) degrees


def test_the_ranks_are_drawn_best_first_and_name_who_is_left_out():
    told = report_of(
        [record(m, d, s, CAscore=v + s / 100) for m, v in (("a", 0.2), ("b", 0.7)) for d in "xy" for s in range(3)]
        + [record("c", "x", s) for s in range(3)]
    )
    figure = ranks(told)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    for method, rank in (("b", 1), ("a", 2)):
        (point,), _ = markers(axes, method, "abc")
        assert point[0][0] == rank
    assert markers(axes, "b", "abc")[0][0][0, 1] < markers(axes, "a", "abc")[0][0][0, 1]
    assert "Left out, for want of a CAscore on every data set: c." in said(figure)
    assert "y: not run: c." in said(figure)


def test_the_palette_is_seaborn_s_for_the_colour_blind():
    import seaborn as sns

    assert [styles("abcdefghij")[name]["color"] for name in "abcdefghij"] == [
        to_hex(colour) for colour in sns.color_palette("colorblind")
    ]


def test_a_method_has_the_same_colour_in_every_figure():
    names = [f"m{i:02}" for i in range(18)]
    told = report_of([record(m, history=[{"train/loss": 1.0}]) for m in names])
    style = styles(names)
    assert len({(to_hex(s["color"]), s["marker"]) for s in style.values()}) == 18
    for draw in (plane, cost, ranks):
        axes = draw(told).axes[0]
        assert all(len(markers(axes, method, names)[0]) == 1 for method in names)
    (line, _) = curves(told, "d-m07-0").axes[0].get_lines()
    assert same_color(line.get_color(), style["m07"]["color"])
    for draw in (plane, cost):
        keys = draw(told).legends[0].legend_handles
        assert [to_hex(key.get_color()) for key in keys] == [to_hex(s["color"]) for s in style.values()]


@pytest.mark.parametrize("name", OF_REPORTS)
def test_what_is_missing_is_named_below(name):
    records = [record("a", d, s) for d in "de" for s in range(3)]
    records += [record("b", "d", s, "failed" if s else "done") for s in range(3)]
    records += [record("c", "d", 0, "failed"), record("c", "e", 0)]
    words = said(drawer(name)(report_of(records, unread=["x", "y"])))
    assert "d: 2 of 3 seeds failed: b; failed: c. e: not run: b." in words
    assert "Records that could not be read: 2." in words


def test_a_method_without_the_metric_is_named_below():
    words = said(plane(report_of([record("a"), record("b", info=None, leak=None)])))
    assert "d: no leak and no info: b." in words


@pytest.mark.parametrize("name", OF_REPORTS)
def test_sources_never_share_a_figure_and_nothing_is_no_figure(name):
    mixed = report_of([record("a"), record("a", source="real")])
    with pytest.raises(ValueError, match="never share a figure"):
        drawer(name)(mixed)
    with pytest.raises(UserError, match="no record"):
        drawer(name)(report_of([]))


@pytest.mark.parametrize("hostile", [False, True], ids=["plain", "hostile"])
@pytest.mark.parametrize("name", OF_REPORTS)
def test_no_text_of_eighteen_methods_overlaps_or_is_cut_off(name, hostile):
    names = [f"a_method_{i:02}" for i in range(13)] + (HOSTILE if hostile else list("vwxyz"))
    datasets = ["a_data_set", "$x_i$[noise=0.25,confounder=object,confounding=0.9,nuisance=0.5]", "third", "last"]
    records = [record(m, d, s) for m in names for d in datasets for s in range(3)]
    records.append(record(names[-1], "more", 0, "failed"))
    if name == "ranks":
        records.pop()
    figure = drawer(name)(report_of(records))
    for dpi in (100, 150):
        figure.set_dpi(dpi)
        assert overlaps(figure) == ([], [])


@pytest.mark.parametrize("name", OF_REPORTS)
@pytest.mark.parametrize("status", ["done", "failed"])
def test_one_method_on_one_data_set_is_enough_finished_or_not(name, status):
    figure = drawer(name)(report_of([record(HOSTILE[0], status=status)]))
    assert overlaps(figure) == ([], [])
    assert (f"d: failed: {HOSTILE[0]}." in said(figure)) == (status == "failed")


def test_hostile_names_are_drawn_as_they_are_written(tmp_path):
    told = report_of([record(m, history=[{"train/$kl_x": 1.0, "train/loss": 1.0}]) for m in HOSTILE])
    trained = curves(told, told.records[0]["run_id"])
    for figure in [*(draw(told) for draw in OF_REPORTS.values()), trained]:
        assert not any(text.get_parse_math() for text in figure.findobj(Text))
    assert r"$\alpha_{x}$ <b>" in texts(plane(told).legends[0])
    assert "$kl_x" in texts(trained)
    save(trained, tmp_path / "drawn.png")


def test_a_wrapped_text_keeps_its_letters_and_its_width():
    for text in [*HOSTILE, "", "a\tb", "one, two,three"]:
        lines = wrapped(text, 1.5, 8).split("\n")
        assert all(text_width(line, 8) <= 1.5 for line in lines)
        assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert wrapped("method[a=1,b=2]", text_width("method[a=1,b", 8), 8) == "method[a=1,\nb=2]"


HISTORY = [
    {"train/kl": 3.0, "train/kl/weighted": 6.0, "train/loss": 6.0, "train/critic/loss": 0.5},
    {"train/kl": 2.0, "train/kl/weighted": 4.0, "train/loss": 4.0, "validation/kl": 2.5, "validation/loss": 5.0},
    {"train/kl": 1.0, "train/kl/weighted": 2.0, "train/loss": 2.0},
]


def test_every_raw_term_has_its_curves():
    panels = curves(report_of([record("a", history=HISTORY)]), "d-a-0").axes
    drawn = {
        axes.get_title(): {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
        for axes in panels
    }
    assert list(drawn) == ["loss", "kl", "critic/loss"]
    assert drawn["kl"] == {"train": [[1, 3], [2, 2], [3, 1]], "validation": [[2, 2.5]]}
    assert drawn["critic/loss"]["train"] == [[1, 0.5]]


def test_a_run_without_curves_says_why():
    told = report_of([record("a"), record("b", status="failed")])
    assert "no epoch" in said(curves(told, "d-a-0"))
    assert "it broke" in said(curves(told, "d-b-0"))
    with pytest.raises(UserError, match="Did you mean 'd-a-0'"):
        curves(told, "d-a-00")


@pytest.fixture
def store(tmp_path):
    """A folder with one run: the second unit of s is the digit, the first unit of c is the age."""
    rng = np.random.default_rng(0)
    factors = (
        Factor("shade", "salient", "target", ("dark", "light")),
        Factor("digit", "salient", "target", ("one", "two", "$three$"), main=True),
        Factor("age", "common", unit="years"),
        Factor("sex", "common", classes=("f", "m")),
        TARGET,
    )
    y = np.repeat([0, 1], 30)
    digit = np.where(y == 1, rng.integers(3, size=60), np.nan)
    age = rng.uniform(20, 80, 60)
    labels = {"digit": digit, "shade": digit % 2, "age": age, "sex": age % 2 // 1, "target": y.astype(float)}
    codes = Codes(np.stack([age, age], axis=1), np.stack([np.zeros(60), np.nan_to_num(digit)], axis=1))
    part = Part(codes, y, labels, np.arange(60))
    told = Store(tmp_path)
    made = stored(record("a", "d"))
    told.write(made)
    write_codes(told.folder(made["run_id"]) / CODES_FILE, Evidence(factors, part, part, part))
    return told


def test_maps_show_both_codes_by_the_main_salient_and_the_first_common_factor(store):
    figure = maps(gather(store), store, next(store.records())["run_id"])
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == [
        "common code by digit",
        "salient code by digit",
        "common code by age",
        "salient code by age",
    ]
    # The code c says one thing twice, s once: all of the variance.
    assert panels[0].get_xlabel() == "PC 1 of the standardised common code (100 %)"
    assert panels[1].get_ylabel() == "PC 2 of the standardised salient code (0 %)"
    background, *classes = panels[1].collections
    assert len(background.get_offsets()) == 30
    assert sum(len(dots.get_offsets()) for dots in classes) == 30
    assert [len(set(dots.get_offsets()[:, 0].round(6))) for dots in classes] == [1, 1, 1]
    assert [text.get_text() for text in panels[1].get_legend().get_texts()] == ["one", "two", "$three$"]
    by_age = panels[2].collections[1]
    assert np.corrcoef(by_age.get_offsets()[:, 0], by_age.get_array())[0, 1] == pytest.approx(1)
    assert overlaps(figure) == ([], [])


def test_a_run_without_codes_has_no_map(store):
    run_id = next(store.records())["run_id"]
    (store.folder(run_id) / CODES_FILE).unlink()
    with pytest.raises(UserError, match="holds no codes"):
        maps(gather(store), store, run_id)


def test_principal_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    code = np.random.default_rng(0).normal(size=(50, 4)) @ np.diag([1, 5, 2, 3]) + np.arange(4)
    code[:, 1] += code[:, 0]
    reference = PCA(2).fit(StandardScaler().fit_transform(code))
    expected = reference.transform(StandardScaler().fit_transform(code))
    points, shares = projected(code)
    assert np.abs(points) == pytest.approx(np.abs(expected))
    assert shares == pytest.approx(reference.explained_variance_ratio_)


@pytest.mark.parametrize("code", [np.full((5, 3), 0.1, np.float32), np.arange(5.0)[:, None]])
def test_a_code_with_less_than_two_components_has_a_map(code):
    points, shares = projected(code)
    assert points.shape == (5, 2)
    assert (points[:, 1] == 0).all() and shares[1] == 0
    assert shares[0] == pytest.approx(float(np.ptp(code) > 0))


def test_neighbours_are_the_nearest_by_each_code_in_order():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full((1, 3, 4, 4), 50, np.uint8)
    common = np.array([[0, 0], [1, 0], [2.5, 0], [9, 0], [10, 0], [12, 0]], np.float32)
    figure = neighbours("A run", images, Codes(common, -common[[3, 4, 0, 5, 1, 2]]), [0, 4], count=2)
    shown = [round(float(axes.images[0].get_array().max()) * 255 / 50) for axes in figure.axes]
    # Column by column: queries, by c, by s, where image 0 lies at 9, 1 at 10, 2 at 0, 3 at 12, 4 at 1, 5 at 2.5.
    assert shown == [0, 4, 1, 3, 2, 5, 1, 2, 3, 5]
    assert overlaps(figure) == ([], [])


def test_neighbours_of_volumes_and_of_too_few_images():
    volumes = np.zeros((2, 1, 4, 4, 4), np.uint8)
    codes = Codes(np.zeros((2, 3)), np.ones((2, 3)))
    assert len(neighbours("A run", volumes, codes, [0], count=5).axes) == 3
    with pytest.raises(ValueError, match="2 images"):
        neighbours("A run", volumes, Codes(np.zeros((3, 3)), np.ones((2, 3))), [0])
    with pytest.raises(ValueError, match="query"):
        neighbours("A run", volumes, codes, [])


def test_pictures_are_written_whole_and_a_pdf_holds_its_fonts(tmp_path):
    figure = plane(report("a"))
    save(figure, tmp_path / "new" / "plane.pdf")
    save(figure, tmp_path / "plane.PNG")
    pdf = (tmp_path / "new" / "plane.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    assert (tmp_path / "plane.PNG").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["plane.pdf"]


def test_another_suffix_is_an_error_of_the_user(tmp_path):
    with pytest.raises(UserError, match=r"\.png or \.pdf"):
        save(plane(report("a")), tmp_path / "plane.gif")
    assert not list(tmp_path.iterdir())


def test_every_figure_of_the_table_is_there_and_others_are_errors():
    assert all(callable(drawer(name)) for name in FIGURES)
    with pytest.raises(UserError, match="Did you mean 'plane'"):
        drawer("plain")
