"""Comparisons as a sentence, as Markdown for a pull request, and as JUnit XML."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

import pandas as pd

from cabench.compare.baseline import Scores, name
from cabench.compare.verdicts import ALARMS, FAILING, MOST_SEEDS, VERDICTS, Comparison
from cabench.report.leaderboard import escape, markdown

# What XML 1.0 cannot hold, not even as a reference.
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ADVICE = (
    "Times are multiples of a fixed piece of work, timed by each run. On shared machines, or another kind of "
    "processor than the baseline's, this gate is advice."
)


def sentence(compared: Iterable[Comparison]) -> str:
    """Return how many cells have which verdict, the gravest first: "1 worse, 5 same"."""
    counts = Counter(one.verdict for one in compared)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])


def to_markdown(compared: Sequence[Comparison], baseline: Scores, results: Scores) -> str:
    """Return the comparisons as Markdown: a table of what needs a look, and folded away what is the same."""
    grave = [one for one in compared if one.verdict != "same"]
    same = [one for one in compared if one.verdict == "same"]
    parts = [f"## cabench compare: {sentence(compared)}", ""]
    if grave:
        parts += [_table(grave), ""]
    if same:
        parts += [f"<details><summary>{len(same)} same</summary>", "", _table(same), "", "</details>", ""]
    return "\n".join([*parts, *(f"- {escape(note)}" for note in _notes(compared, baseline, results)), ""])


def to_junit(compared: Sequence[Comparison]) -> str:
    """Return the comparisons as JUnit XML: worse is a failure, missing an error, inconclusive is skipped."""
    verdicts = Counter(one.verdict for one in compared)
    suite = ElementTree.Element(
        "testsuite",
        name="cabench compare",
        tests=str(len(compared)),
        failures=str(verdicts["worse"]),
        errors=str(verdicts["missing"]),
        skipped=str(verdicts["inconclusive"]),
    )
    for one in compared:
        place = {"classname": f"cabench.{one.cell.dataset}", "name": f"{name(one.cell)}: {one.rule.metric}"}
        case = ElementTree.SubElement(suite, "testcase", {key: _xml(text) for key, text in place.items()})
        tag = {"worse": "failure", "missing": "error", "inconclusive": "skipped"}.get(one.verdict)
        if tag:
            told = ", ".join(text for text in (one.verdict, _change(one), _note(one)) if text)
            ElementTree.SubElement(case, tag, message=_xml(told))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def failed(compared: Iterable[Comparison]) -> bool:
    """Return whether anything is worse or missing."""
    return any(one.verdict in FAILING for one in compared)


def _table(compared: Iterable[Comparison]) -> str:
    rows = [
        {
            "verdict": one.verdict,
            "method": one.cell.method,
            "data set": f"{one.cell.dataset} ({one.cell.source}, {one.cell.tier})",
            "metric": f"{one.rule.metric} {'↑' if one.rule.higher else '↓'}",
            "baseline": f"{one.change.then:.3f}" if one.change else "-",
            "now": f"{one.change.now:.3f}" if one.change else "-",
            "change": _change(one) or "-",
            "note": _note(one),
        }
        for one in compared
    ]
    return markdown(pd.DataFrame(rows))


def _change(one: Comparison) -> str:
    """Return "-0.050 (-0.081 to -0.019)", of times "x1.20 (x1.10 to x1.31)"; nothing without one."""
    if not one.change:
        return ""
    interval = one.change.interval
    ends = interval.value, interval.low, interval.high
    if one.rule.ratio:
        value, low, high = (f"x{math.exp(end):.2f}" for end in ends)
    else:
        value, low, high = (f"{end:+.3f}" if end else "0" for end in ends)
    return value if low == high else f"{value} ({low} to {high})"


def _note(one: Comparison) -> str:
    if one.verdict != "inconclusive":
        return one.flaw
    seeds = one.seeds_needed()
    loss = f"x{math.exp(one.rule.tolerance):.2f}" if one.rule.ratio else f"{one.rule.tolerance:g}"
    if seeds is None:
        return f"the seeds differ so much that {MOST_SEEDS} of them would not find a loss of {loss}"
    return f"a loss of {loss} is found by {seeds} seeds here and in the baseline"


def _notes(compared: Sequence[Comparison], baseline: Scores, results: Scores) -> list[str]:
    made = baseline.made
    notes = [f"Baseline of {made['date']}, commit {made['commit']}: {made['reason']}"]
    speed = any(one.rule.ratio for one in compared)
    notes += [
        ADVICE if speed else f"Of {1 / ALARMS:.0f} comparisons of unchanged code at most one calls any cell worse."
    ]
    new = sorted(results.cells.keys() - baseline.cells.keys())
    if new:
        notes += [f"Not in the baseline: {'; '.join(map(name, new))}."]
    return [*notes, *results.notes]


def _xml(text: str) -> str:
    return NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
