"""The page: one file, nothing from elsewhere, every record, every hole, whatever the names are."""

import json
import re
import shlex
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page_records import many, record, report

from cabench.command import command
from cabench.errors import UserError
from cabench.execute import execute
from cabench.plan import make_plan
from cabench.report.page import page
from cabench.store import Store
from cabench.worker import Options

HOSTILE = [
    "<script>alert(1)</script>",
    'a|b"c',
    "it's 50 %",
    "&amp;",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}",
]
PNG = b"\x89PNG\r\n\x1a\n" + b"rest"


class Parsed(HTMLParser):
    """The tags with attributes, the visible text, and the JSON."""

    VOID = {"meta", "input", "img", "br", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.data, self._open, self._json = [], [], "", [], False
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._json = dict(attributes).get("id") == "data"
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, text):
        if self._json:
            self.data += text
        elif self._open and self._open[-1] not in ("script", "style"):
            self.text.append(text)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    @property
    def cells(self):
        """Every run of the page: column -> value."""
        data = json.loads(self.data)
        return [dict(zip(data["columns"], row, strict=True)) for row in data["runs"]]

    def command(self, run):
        return ",".join(json.loads(self.data)["shared"][place] for place in run["command"])


def options(line):
    """What `cabench run` would be told: option -> its values."""
    words = shlex.split(line)
    assert words[:2] == ["cabench", "run"]
    found = {}
    for name, value in zip(words[2::2], words[3::2], strict=True):
        found.setdefault(name, []).append(value)
    return found


def planned(line):
    """The cells that a command plans."""
    told = options(line)
    names = ("methods", "datasets", "seeds", "tier", "source")
    plugins = [Path(name) for name in told.get("--plugin", [])]
    return make_plan(*(told[f"--{name}"][0] for name in names), told.get("--set", ()), plugins).cells


def test_it_is_one_file_that_asks_for_nothing():
    text = page(report([record(), record(source="real")]), {"a": PNG, "b": b"<svg xmlns='http://x.y/'></svg>"})
    for tag, attributes in Parsed(text).tags:
        assert tag not in ("link", "iframe", "object")
        for name in ("src", "href", "action", "srcset"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?://", text)


def test_only_the_page_s_own_script_may_run():
    (policy,) = (a["content"] for _, a in Parsed(page(report([record()]))).tags if "http-equiv" in a)
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_errors_are_shown_as_they_are(name):
    records = [
        record(name, 0, name, params={name: name}, data_params={name: name}),
        record(name, 1, name, error=f"ValueError: {name}"),
        record("b", 0, name, error=f"{name}\u2028{name}"),
    ]
    text = page(report(records, unread=[name]), {name: PNG})
    parsed = Parsed(text)
    assert [tag for tag, _ in parsed.tags].count("script") == 2
    assert [tag for tag, _ in parsed.tags].count("img") == 1
    assert not any(attribute.startswith("on") for _, found in parsed.tags for attribute in found)
    assert [part.strip() for part in parsed.text].count(
        name
    ) == 6  # heading, choice, row, probe's column, unread file, caption
    assert any(f"seed 1: failed. ValueError: {name}" in part for part in parsed.text)
    assert not set("<>&\u2028") & set(parsed.data)
    assert name in json.loads(parsed.data)["shared"][parsed.cells[-1]["error"]]


def test_every_record_is_in_it_once():
    made = report([record(m, s, d) for m in "ab" for s in range(3) for d in ("d", "e")])
    text = page(made)
    assert sorted(run["run_id"] for run in Parsed(text).cells) == sorted(r["run_id"] for r in made.records)
    assert all(text.count(r["run_id"]) == 1 for r in made.records)


def test_a_row_opens_the_runs_of_its_method():
    parsed = Parsed(page(report([record(m, s, d) for d in ("d", "e") for m in "ba" for s in (1, 0)])))
    spans = [(int(a["data-first"]), int(a["data-runs"])) for _, a in parsed.tags if "data-runs" in a]
    ids = [[run["run_id"] for run in parsed.cells[first : first + runs]] for first, runs in spans]
    assert sorted(ids) == [[f"{d}-{m}-{s}-quick-synthetic" for s in (0, 1)] for d in ("d", "e") for m in "ab"]


def test_synthetic_and_real_and_tiers_have_tables_of_their_own():
    places = [("synthetic", "quick"), ("real", "quick"), ("real", "paper")]
    parsed = Parsed(page(report([record(source=source, tier=tier) for source, tier in places])))
    boards = [(a["data-source"], a["data-tier"]) for _, a in parsed.tags if a.get("class") == "board"]
    assert sorted(boards) == sorted(places)
    assert sum(a.get("class") == "methods" for _, a in parsed.tags) == 3


def test_a_half_width_stands_from_three_seeds_on():
    values = {seeds: Parsed(page(report([record(seed=s) for s in range(seeds)]))).words for seeds in (2, 3)}
    assert "0.64 ± 0.01" not in values[2] and " ± 0" not in values[2]
    assert re.search(r"\d\.\d\d ± 0\.\d\d", values[3])


def test_failures_and_holes_show_with_their_reason():
    records = [
        record("a", 0),
        record("a", 1),
        record("b", 0),
        record("c", 0, error="RuntimeError: NaN"),
        record("c", 1),
        record("d", 0, error="ValueError: d"),
    ]
    records += [record("a", 0, "e"), record("f", 0, "e"), record("g", 0, "e", tier="paper")]
    records += [record("a", 0, "e", label="a[rate=1]")]
    words = Parsed(page(report(records))).words
    assert "1 (1 missing)" in words and "1 (1 failed)" in words and "not run - - 0 (2 missing)" in words
    assert "d failed - - 0 (1 failed, 1 missing)" in words
    assert "b, seed 1: no record, though other methods of this table have one." in words
    assert "c, seed 0: failed. RuntimeError: NaN" in words
    assert "f: no record, though another data set of this source and tier has one." in words
    assert "b, c, d: no record" in words
    assert "g: no record" not in words and "a[rate=1]: no record" not in words


def test_files_that_could_not_be_read_are_listed():
    assert "x/record.json is left out: it is no record." in page(
        report([], unread=["x/record.json is left out: it is no record."])
    )


def test_no_record_is_a_page_that_says_so():
    parsed = Parsed(page(report([])))
    assert "There is no record yet" in parsed.words and parsed.cells == []


def test_figures_are_inside_with_their_names():
    parsed = Parsed(page(report([record()]), {"A map": PNG, "A drawing": b'<?xml version="1.0"?><svg></svg>'}))
    images = {a["alt"]: a["src"].partition(",")[0] for tag, a in parsed.tags if tag == "img"}
    assert images == {"A map": "data:image/png;base64", "A drawing": "data:image/svg+xml;base64"}
    with pytest.raises(UserError, match="'A table' is neither PNG nor SVG"):
        page(report([record()]), {"A table": b"a,b"})


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    plugins = Path(__file__).resolve().parents[1] / "plugins"
    files = [plugins / name for name in ("toy.py", "corner.py", "honest.py", "raising.py")]
    methods = "corner[scale=2],honest[origin=background,shrinkage=1e-3],raising"
    plan = make_plan(methods, "toy[noise=0.4]", "0,3", "smoke", plugins=files)
    records = execute(plan, Store(tmp_path_factory.mktemp("results")), Options(device="cpu"))
    for made in records:  # as if the command line had named them
        named = [word for file in files for word in ("--plugin", str(file))]
        made["provenance"]["command"] = ["cabench", "run", *named[:-2], f"--plugin={files[-1]}"]
    return records


def test_the_command_of_a_real_record_plans_the_same_run(toys):
    parsed = Parsed(page(report(toys)))
    assert len(parsed.cells) == 6
    for run in parsed.cells:
        assert [cell.run_id for cell in planned(parsed.command(run))] == [run["run_id"]]


def test_a_failed_cell_of_a_real_run_says_why(toys):
    assert "raising, seed 3: failed. RuntimeError: the optimiser diverged" in Parsed(page(report(toys))).words


@pytest.mark.parametrize(
    "value",
    [
        "",
        "None",
        "1",
        "plain",
        "two words",
        "a,b",
        "it's",
        '"',
        "$HOME `x` !",
        "[",
        "a\nb",
        1e-05,
        3,
        True,
        None,
        [1, 2],
    ],
)
def test_a_parameter_of_any_kind_survives_the_command_line(value):
    from cabench.plan import parse_list

    told = options(command(record(params={"term": value}, data_params={"knob": value})))
    found = dict([*parse_list(told["--methods"][0]), *parse_list(told["--datasets"][0])])
    sets = dict(text.split("=", 1) for text in told.get("--set", []))
    if sets:  # what a list of names cannot hold
        from ast import literal_eval

        assert literal_eval(sets["a.term"]) == literal_eval(sets["d.knob"]) == value
    else:
        assert found["a"]["term"] == found["d"]["knob"] == value


def test_what_was_measured_beyond_the_core_is_asked_for_again():
    made = record()
    assert "--metrics" not in command(made)
    made["families"]["information"] = 1
    assert options(command(made))["--metrics"] == ["background,cost,information,probe"]


def test_curves_are_thinned_by_a_rule_that_the_page_states():
    few, lots = Parsed(page(report([record()]))), Parsed(page(many(28, 5, 5, ("quick",))))
    assert "of each unweighted term, thinned to at most 40 points" in few.words
    shared = json.loads(few.data)["shared"]
    curves = {shared[term]: (shared[epochs], values) for term, epochs, values in few.cells[0]["curves"]}
    assert len(curves) == 12 and "train/null/weighted" not in curves
    assert curves["train/loss"][0] == list(range(1, 21)) and curves["validation/loss"][0] == list(range(2, 21, 2))
    assert "of each unweighted term, thinned to at most 15 points" in lots.words
    assert max(len(values) for run in lots.cells for *_, values in run["curves"]) == 15


def test_five_thousand_records_are_small_and_quick():
    made = many()
    assert len(made.records) == 5000
    # Processor time: other work on the machine does not count.
    started = time.process_time()
    text = page(made)
    assert time.process_time() - started < 6
    assert len(text.encode()) < 5_000_000
    parsed = Parsed(text)
    assert len({run["run_id"] for run in parsed.cells}) == 5000
    assert "of the total alone, because there are many records" in parsed.words
