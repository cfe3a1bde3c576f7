"""What people see of a profile."""

from cabench.profiling import show
from cabench.profiling.bench import MEASURED, WITH_LAUNCHES


def row(n, backend, status="ok", reason=None, **measured):
    case = {"kernel": "uniformity", "n": n, "backend": backend, "precision": "exact", "mode": "full"}
    return case | {"status": status, "reason": reason} | dict.fromkeys((*MEASURED, *WITH_LAUNCHES)) | measured


def measured(n, ms):
    names = {"ms": ms, "ms_q1": 0.9 * ms, "ms_q3": 1.1 * ms, "pairs_per_s": 2e9, "value_error": 1e-7}
    return names | {"gradient_error": 2e-7, "ratio": 12.345, "roofline": 0.25, "bound": "exp"}


ROWS = [
    row(512, "tiled", **measured(512, 2.0)),
    row(2048, "tiled", **measured(2048, 32.0)),
    row(2048, "reference", "out of memory", "already with 512 rows"),
    row(4096, "reference", "out of memory", "already with 512 rows"),
    row(2048, "keops", "absent", "it needs pykeops."),
]


def test_the_table_has_a_line_for_each_case_but_those_of_absent_backends():
    table = show.table(ROWS)
    assert list(table["ms"]) == ["2", "32", "out of memory", "out of memory"]
    assert list(table["quartiles"])[:3] == ["1.8-2.2", "28.8-35.2", ""]
    first = table.iloc[0]
    assert (first["Gpairs/s"], first["of the roof"], first["x faster"]) == ("2", "25.0% exp", "12.3")


def test_times_with_launches_have_a_column_on_a_gpu_alone():
    assert "launched ms" not in show.table(ROWS)
    table = show.table([ROWS[0] | {"launched_ms": 1.25}, ROWS[2]])
    assert list(table["launched ms"]) == ["1.25", ""]


def test_what_was_not_measured_is_said_with_the_reason():
    absent, left_out, peaks = show.notes(ROWS, None)
    assert absent == "keops is absent: it needs pykeops."
    assert left_out == "uniformity 2048 reference exact full and 1 more: out of memory: already with 512 rows"
    assert "--measure-peaks" in peaks


def test_the_figure_has_a_line_per_backend_that_was_measured():
    figure = show.figure(ROWS, "a device")
    (axes,) = figure.axes
    (line,) = axes.get_lines()
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([512, 2048], [2.0, 32.0])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["tiled exact"]


def test_a_figure_without_a_measurement_is_drawn_empty():
    assert not show.figure(ROWS[2:], "a device").axes[0].get_lines()
