r"""Tables in LaTeX, ready for \input: booktabs, nothing else; every text from a record escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "²": r"\textsuperscript{2}",
    "\N{EM DASH}": "---",
    "\N{EN DASH}": "--",
    "\n": " ",
    "\r": " ",
    "\t": " ",
}
COMMANDS = {"best": r"\textbf", "second": r"\underline", "published": r"\textit"}


@dataclass(frozen=True)
class Cell:
    """A text of a table, and whether it is "best", "second" or "published"; empty: nothing."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class LatexTable:
    """A table before it is written.

    Attributes:
        caption: above it.
        label: for references.
        groups: titles over the columns, each with the number of columns that it spans; none: no such line.
        columns: titles of the columns, the first one left, the others right.
        blocks: rows of cells; a thin rule stands between two blocks.
        notes: below the table.
    """

    caption: str
    label: str
    columns: Sequence[str]
    blocks: Sequence[Sequence[Sequence[Cell]]]
    groups: Sequence[tuple[str, int]] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def latex(tables: Iterable[LatexTable]) -> str:
    """Return the tables, one after another, under a line that says what they need."""
    return "\n".join([r"% \usepackage{booktabs} \usepackage[T1]{fontenc}", *map(_table, tables)])


def escape(text: str) -> str:
    r"""Return text that LaTeX prints as it is; what 8-bit fonts lack becomes a question mark.

    >>> escape("50 % of a_b")
    '50 \\% of a\\_b'
    """
    return "".join(ESCAPES.get(c, c if c.isprintable() and ord(c) < 0x180 else "?") for c in text)


def _table(table: LatexTable) -> str:
    width = len(table.columns)
    lines = [
        r"\begin{table}[tbp]",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\label{{{table.label}}}",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        r"\toprule",
    ]
    if table.groups:
        lines += _groups(table.groups)
    lines.append(_row(Cell(title) for title in table.columns))
    for block in table.blocks:
        lines += [r"\midrule", *map(_row, block)] if block else []
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\raggedright\footnotesize {escape(note)}\par}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _groups(groups: Sequence[tuple[str, int]]) -> list[str]:
    """Return the line of titles over the columns, and the rules below them; the first column has none."""
    titles, rules, start = [], [], 2
    for title, span in groups:
        titles.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(title)}}}")
        rules += [rf"\cmidrule(lr){{{start}-{start + span - 1}}}"] if title else []
        start += span
    return [" & ".join(["", *titles]) + r" \\", "".join(rules)]


def _row(cells: Iterable[Cell]) -> str:
    text = " & ".join(map(_cell, cells))
    # After the line before, a bracket or a star would be an argument of its end.
    return ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    return rf"{COMMANDS[cell.mark]}{{{text}}}" if cell.mark else text
