"""The owners' tables, as text or xlsx, and the sentences for one that cannot be used.

Rows are numbered as an editor or a spreadsheet numbers them: the header is row 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cabench.datasets._raw.located import damaged
from cabench.errors import DataMissing

if TYPE_CHECKING:
    import pandas as pd

WEB_PAGE = (b"<!doctype", b"<html", b"<head")
FIRST_ROW = 2  # below the header


def read_csv(path: Path, needed_columns: Sequence[str], root: Path, obtain: str, sep: str = ",") -> pd.DataFrame:
    """Read some columns of a text table that begins with a header.

    Args:
        path: the table, below `root`.
        needed_columns: the columns to read.
        root: the data root.
        obtain: the sentence that says how to get the file.
        sep: what separates the fields.

    Returns:
        the columns in the order of `needed_columns`; the index counts the rows from 0.

    Raises:
        DataMissing: the file is missing, empty, a web page, or lacks a column or any row.

    """
    refuse_columns(root / path, needed_columns, read_header(root / path, obtain, sep), obtain)
    options = {"sep": sep, "usecols": list(needed_columns), "index_col": False, "low_memory": False}
    return _with_rows(root / path, parse(root / path, obtain, **options)[list(needed_columns)], obtain)


def read_xlsx(path: Path, needed_columns: Sequence[str], obtain: str) -> pd.DataFrame:
    """Read some columns of the first sheet of a workbook; what it raises and returns is as in `read_csv`."""
    import pandas as pd

    _refuse_unlike_a_table(path, obtain)
    try:
        table = pd.read_excel(path, engine="openpyxl")
    except Exception as error:  # a damaged archive of XML raises whatever its bytes happen to say
        raise damaged(path, f"it is no whole xlsx file: {_line(error)}", obtain) from error
    refuse_columns(path, needed_columns, table.columns, obtain)
    return _with_rows(path, table[list(needed_columns)], obtain)


def read_header(path: Path, obtain: str, sep: str = ",") -> list[str]:
    """Return the names of the columns of a text table; raises as `read_csv` does."""
    return [str(name) for name in parse(path, obtain, sep=sep, nrows=0, index_col=False).columns]


def parse(path: Path, obtain: str, **options: Any) -> pd.DataFrame:
    """Return what `pandas.read_csv` makes of a file, or raise DataMissing with the reason that it gives."""
    import pandas as pd

    _refuse_unlike_a_table(path, obtain)
    try:
        table: pd.DataFrame = pd.read_csv(path, encoding="utf-8-sig", **options)
    except (OSError, ValueError) as error:  # pandas' own errors, and text in another encoding, are ValueErrors
        raise damaged(path, _line(error), obtain) from error
    return table


def refuse_columns(path: Path, needed: Iterable[str], present: Iterable[str], obtain: str) -> None:
    """Raise DataMissing if a table lacks a column."""
    names = list(present)
    for column in needed:
        if column not in names:
            raise damaged(path, f"it lacks the column '{column}'", obtain)


def refuse_rows(
    path: Path, values: pd.Series, bad: pd.Series | np.ndarray, why: str, obtain: str, first: int = FIRST_ROW
) -> None:
    """Raise DataMissing for the first of the rows that cannot be used.

    Args:
        path: the table.
        values: a column (n,), whose index counts the rows of the table from 0.
        bad: which rows cannot be used, boolean (n,).
        why: what is wrong with the value, as the end of "row 5 has 'x' in the column 'y', ".
        obtain: the sentence that says how to get the file.
        first: the number of the table's first row.

    """
    if np.any(bad):
        position = int(np.argmax(np.asarray(bad, bool)))
        row, value = values.index[position] + first, values.iloc[position]
        # A missing value is NaN, the only one that differs from itself.
        has = "nothing" if value != value else f"'{value}'"
        raise damaged(path, f"row {row} has {has} in the column '{values.name}', {why}", obtain)


def _refuse_unlike_a_table(path: Path, obtain: str) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(256).removeprefix(b"\xef\xbb\xbf").strip()
    except OSError as error:
        raise DataMissing(f"{path} cannot be read ({error.strerror}). {obtain}") from error
    if not start:
        raise damaged(path, "it is empty", obtain)
    if start.lower().startswith(WEB_PAGE):
        raise damaged(path, "it is a web page, saved under the name of the table", obtain)


def _with_rows(path: Path, table: pd.DataFrame, obtain: str) -> pd.DataFrame:
    if table.empty:
        raise damaged(path, "it has a header and no row", obtain)
    return table


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
