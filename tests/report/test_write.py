"""Every format of a report against its golden file, and what a hostile name does to it.

UPDATE_GOLDEN=1 writes the files anew; look at them before you commit them.
"""

import io
import os
import shutil
import subprocess
from pathlib import Path

import page_records
import pandas as pd
import pytest

from cabench.errors import UserError
from cabench.report.frame import frame
from cabench.report.gather import Report
from cabench.report.latex import escape as latex_escape
from cabench.report.leaderboard import escape as markdown_escape
from cabench.report.marks import marks
from cabench.report.paper import COLUMNS, Column, paper_tables, read_published
from cabench.report.scores import Measurement
from cabench.report.write import FORMATS, Made, write_report
from cabench.store import Store

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = r'<script>a|b</script> 50 % of_$x^2$ \input{/etc/passwd} & "q" #1 ~'
PUBLISHED = [
    dict(zip(COLUMNS, row, strict=True))
    for row in (
        ("sepclr", "dots", "glow", "salient", "balanced_accuracy", "0.91", "0.02", "Some et al. 2024, table 2"),
        ("sepclr", "dots", "", "", "delta_tot", "12.5", "", "Some et al. 2024, table 2"),
    )
]
# Method -> glow in s, glow in c, bar in c, bar in s for each of three seeds.
SCORES = {
    "sepclr": [(0.90, 0.60, 0.8, 0.30), (0.92, 0.62, 0.8, 0.31), (0.91, 0.61, 0.8, 0.32)],
    "cvae": [(0.70, 0.65, 0.5, 0.40), (0.72, 0.64, 0.5, 0.41), (0.73, 0.66, 0.5, 0.42)],
    "mmcvae": [(0.60, 0.55, 0.4, 0.20), (0.61, 0.56, 0.4, 0.21), (0.63, 0.57, 0.4, 0.22)],
    "pca": [(0.99, 0.99, 0.9, 0.90)] * 3,
}


def record(method, seed, scores, status="done", error=None, source="synthetic"):
    def probe(name, factor, space, home, value, chance, ceiling):
        row = {"name": name, "factor": factor, "space": space, "home": home, "rows": "target", "value": value}
        return row | {"chance": chance, "ceiling": ceiling, "direction": "higher", "n": 50, "family": "probe"}

    rows = []
    if status == "done":
        glow_s, glow_c, bar_c, bar_s = scores
        rows = [
            probe("balanced_accuracy", "glow", "common", "salient", glow_c, 0.5, 0.95),
            probe("balanced_accuracy", "glow", "salient", "salient", glow_s, 0.5, 0.95),
            probe("r2", "bar", "common", "common", bar_c, 0.0, 0.9),
            probe("r2", "bar", "salient", "common", bar_s, 0.0, 0.9),
            probe("delta_tot", None, None, None, 100 * (1 - glow_s + glow_c - 0.5), None, None),
            probe("info", None, None, None, (glow_s - 0.5) / 0.45, None, None),
        ]
    spec = {"method": method, "dataset": "dots", "source": source, "tier": "quick", "seed": seed}
    times = {"started": "2026-01-01T00:00:00", "wall_s": 10.0 + seed, "cpu_s": 20.0 + seed}
    return {"run_id": f"dots-{method}-{seed}", "label": method, "dataset_label": "dots", "spec": spec} | {
        "status": status, "error": error, "metrics": rows, "training": {"trend": "flat"}, "provenance": times
    }  # fmt: skip


def made(records, published=()):
    return Made(Report(records, frame(records), unread=["runs/x/record.json is left out: it is no record."]),
                Store(Path("none")), tuple(published))  # fmt: skip


@pytest.fixture
def complete():
    """Return a report with all that can happen: a failed seed, a hole, a floor, a method that always failed."""
    records = [record(m, seed, s) for m, seeds in SCORES.items() for seed, s in enumerate(seeds)]
    records = [r for r in records if (r["label"], r["spec"]["seed"]) != ("mmcvae", 2)]
    records.append(record("mmcvae", 2, None, "failed", "RuntimeError: the loss became NaN"))
    records.append(record("sepvae[beta=1]", 0, None, "failed", "UserError: too few images"))
    return made(records, PUBLISHED)


@pytest.mark.parametrize("name", ["markdown", "csv", "latex"])
def test_a_format_is_its_golden_file(complete, name):
    suffix, render = FORMATS[name]
    content, path = render(complete).decode(), GOLDEN / f"report.{suffix}"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(content)
    assert content == path.read_text()


def test_parquet_holds_every_row(complete):
    back = pd.read_parquet(io.BytesIO(FORMATS["parquet"][1](complete)))
    assert len(back) == len(complete.report.table)
    assert list(back.columns) == list(complete.report.table.columns)


def test_the_best_is_bold_only_where_three_seeds_say_so(complete):
    text = FORMATS["latex"][1](complete).decode()
    (line,) = (
        line for line in text.splitlines() if line.startswith("sepclr &") and "textbf" in line and "0.61" in line
    )
    assert line.startswith(r"sepclr & 0.61 $\pm$ 0.02 & \textbf{0.91 $\pm$ 0.02}")
    floor = [line for line in text.splitlines() if line.startswith("pca &")]
    assert floor and not any("textbf" in line for line in floor)


def test_abroad_chance_is_best_and_not_what_lies_below_it():
    abroad = Column("balanced_accuracy", "target", "common", home=False)
    scores = {"under": (0.36, 0.35, 0.37), "chance": (0.50, 0.501, 0.499)}
    judged = {
        method: {
            seed: abroad.judged(Measurement(seed, value, 0.5, 1.0, "salient")) for seed, value in enumerate(of)
        }
        for method, of in scores.items()
    }
    assert marks(judged, abroad.direction) == {"chance": "best"}
    at_home = Column("balanced_accuracy", "target", "salient")
    assert at_home.judged(Measurement(0, 0.9, 0.5, None, None)) == 0.9


def test_the_tables_mark_what_is_nearest_to_chance_abroad():
    records = []
    for method, values in {"under": (0.02, 0.01, 0.03), "near": (0.1, 0.101, 0.099)}.items():
        for seed, value in enumerate(values):
            made = page_records.record(method, seed)
            for row in made["metrics"]:
                if (row["name"], row["factor"], row["space"]) == ("balanced_accuracy", "digit", "common"):
                    row["value"] = value
            records.append(made)
    tables = paper_tables(page_records.report(records))
    (probes,) = (table for table in tables if "digit (bacc)" in dict(table.groups))
    first = [title for title, width in probes.groups for _ in range(width)].index("digit (bacc)")
    assert [title[:6] for title in probes.columns[first + 1 : first + 3]] == ["common", "salien"]
    marked = {row[0].text: row[first + 1].mark for block in probes.blocks for row in block}
    assert (marked["near"], marked["under"]) == ("best", "")


def test_the_two_sources_have_tables_of_their_own():
    both = [record("pca", 0, (0.9,) * 4), record("pca", 0, (0.1,) * 4, source="real")]
    captions = [table.caption for table in paper_tables(Report(both, frame(both)))]
    assert sorted({caption.partition(":")[0] for caption in captions}) == [
        "dots (real data, quick tier)",
        "dots (synthetic data, quick tier)",
    ]


def test_hostile_names_are_text():
    bad = record(HOSTILE, 0, (0.9, 0.5, 0.8, 0.1))
    worse = record("b", 0, None, "failed", HOSTILE)
    page = made([bad, worse])
    markdown = FORMATS["markdown"][1](page).decode()
    assert "<script>" not in markdown and "a\\|b" in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows[:3]}) == 1
    tex = FORMATS["latex"][1](page).decode()
    assert r"\input{" not in tex and r"\textbackslash{}input\{" in tex
    assert "50 %" not in tex.replace(r"50 \%", "")


@pytest.mark.parametrize("escape", [latex_escape, markdown_escape])
def test_a_text_without_special_characters_is_left_alone(escape):
    assert escape("SepCLR with k-JEM (seed 3), 0.82") == "SepCLR with k-JEM (seed 3), 0.82"


def test_a_row_that_begins_with_a_bracket_is_no_argument_of_the_line_before():
    records = [record("[2cm]", 0, (0.9, 0.5, 0.8, 0.1)), record("*", 0, (0.9, 0.5, 0.8, 0.1))]
    lines = FORMATS["latex"][1](made(records)).decode().splitlines()
    assert not any(line.startswith(("[", "*")) for line in lines)


def test_markdown_escapes_what_would_mean_something():
    assert markdown_escape("cifar_mnist[noise=0.1] _x_ *y* [a](b) `c`") == (
        r"cifar_mnist[noise=0.1] \_x\_ \*y\* [a]\(b) \`c\`".replace("\\\\", "\\")
    )


def test_latex_text_stays_on_its_line():
    assert latex_escape("a\nb\tc") == "a b c"
    assert latex_escape("Ärger 漢") == "Ärger ?"


def test_files_are_written_where_they_are_asked_for(tmp_path, complete):
    paths = write_report(complete, ["markdown", "latex"], tmp_path)
    assert [path.name for path in paths] == ["leaderboard.md", "leaderboard.tex"] and all(p.exists() for p in paths)
    with pytest.raises(UserError, match="Did you mean 'latex'"):
        write_report(complete, ["latec"], tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("method,dataset\n", "need the columns"),
        (",".join(COLUMNS) + "\na,b,c,d,e,0.5,,\n", "line 2: a published number needs its source"),
        (",".join(COLUMNS) + "\na,b,c,d,e,half,,p. 3\n", "'half' is no number"),
        (None, "Put them there"),
    ],
)
def test_published_numbers_are_checked(tmp_path, text, says):
    path = tmp_path / "some.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=says):
        read_published(path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "results" / "published").glob("*.csv")))
def test_the_published_numbers_that_are_shipped_can_be_read(path):
    assert all(row["source"] for row in read_published(path))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (Debian: texlive-latex-base)")
def test_the_tables_compile(tmp_path, complete):
    hostile = made([record(HOSTILE, seed, (0.9, 0.5, 0.8, 0.1)) for seed in range(3)])
    (tmp_path / "a.tex").write_bytes(FORMATS["latex"][1](complete))
    (tmp_path / "b.tex").write_bytes(FORMATS["latex"][1](hostile))
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\usepackage[T1]{fontenc}\n"
        "\\begin{document}\\input{a.tex}\\input{b.tex}\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size > 10_000
