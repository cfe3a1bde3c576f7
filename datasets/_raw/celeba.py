"""CelebA: where its files lie, its attributes in both public formats, and its identities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cabench.dataset import RawFile
from cabench.datasets._raw.located import damaged, located
from cabench.datasets._raw.tables import FIRST_ROW, parse, read_csv, read_header, refuse_columns, refuse_rows

if TYPE_CHECKING:
    import pandas as pd

PICTURES = RawFile(
    "celeba/img_align_celeba/", alternatives=("img_align_celeba/img_align_celeba/", "img_align_celeba/")
)
ATTRIBUTES = RawFile(
    "celeba/list_attr_celeba.txt",
    checksum="md5:75e246fa4810816ffd6ee81facbd244c",
    alternatives=("list_attr_celeba.txt", "celeba/list_attr_celeba.csv", "list_attr_celeba.csv"),
)
IDENTITIES = RawFile(
    "celeba/identity_CelebA.txt",
    checksum="md5:32bd1bd63d3c78cd57e08160ec5ed1e2",
    alternatives=("identity_CelebA.txt",),
)
COLUMNS = ("Eyeglasses", "Wearing_Hat", "Male", "Young")
EXPORTED_NAMES = ("image_id", "File_name")  # of the column of file names in the exports as csv
PICTURE = r"[\w-]+\.jpg"
SPACES = r"\s+"


def read_attributes(root: Path, obtain: str) -> pd.DataFrame:
    """Read who wears what, in file order.

    Args:
        root: the data root.
        obtain: the sentence that says how to get the files.

    Returns:
        a row per picture, with the text column `id` (its file name) and the boolean COLUMNS.

    Raises:
        DataMissing: the table is missing or damaged; says in which row.

    """
    import pandas as pd

    path = located(root, ATTRIBUTES, obtain)
    exported = path.suffix == ".csv"
    table = (_read_export if exported else _read_owners)(path, obtain)
    first = FIRST_ROW if exported else FIRST_ROW + 1
    _refuse_names(path, table["id"], obtain, first)
    for column in COLUMNS:
        values = pd.to_numeric(table[column], errors="coerce")
        refuse_rows(path, table[column], ~values.isin((1, -1)), "which is neither 1 nor -1", obtain, first)
        table[column] = values == 1
    return table


def knows_identities(root: Path) -> bool:
    """Return whether the table of identities lies below the data root."""
    return IDENTITIES.locate(root) is not None


def read_identities(root: Path, pictures: pd.Series, obtain: str) -> np.ndarray:
    """Read who is in each of the pictures: the owners' number of the person, int64 (n,).

    Args:
        root: the data root.
        pictures: their file names (n,).
        obtain: the sentence that says how to get the file.

    Raises:
        DataMissing: the table is missing or damaged, or lacks one of the pictures.

    """
    import pandas as pd

    path = located(root, IDENTITIES, obtain)
    table = parse(path, obtain, sep=SPACES, header=None, names=["id", "identity"], index_col=False)
    _refuse_names(path, table["id"], obtain, 1)
    people = pd.to_numeric(table["identity"], errors="coerce")
    refuse_rows(path, table["identity"], people.isna() | (people % 1 != 0), "which is no whole number", obtain, 1)
    identity = people.set_axis(table["id"]).reindex(pictures)
    if identity.isna().any():
        raise damaged(path, f"it says nothing of {identity.index[identity.isna()][0]}", obtain)
    return np.asarray(identity, np.int64)


def _read_owners(path: Path, obtain: str) -> pd.DataFrame:
    """Read the number of pictures, the 40 names without one for the pictures, and a row for each picture."""
    count = read_header(path, obtain)[0].strip()
    if not count.isdecimal():
        raise damaged(path, "its first row is not the number of pictures", obtain)
    names = parse(path, obtain, sep=SPACES, skiprows=1, nrows=0, index_col=False).columns
    refuse_columns(path, COLUMNS, names, obtain)
    wanted = {"names": ["id", *names], "usecols": ["id", *COLUMNS]}
    table = parse(path, obtain, sep=SPACES, skiprows=2, header=None, index_col=False, low_memory=False, **wanted)
    if len(table) != int(count):
        raise damaged(path, f"it says that it lists {count} pictures and lists {len(table)}", obtain)
    return table


def _read_export(path: Path, obtain: str) -> pd.DataFrame:
    header = read_header(path, obtain)
    name = next((name for name in EXPORTED_NAMES if name in header), EXPORTED_NAMES[0])
    return read_csv(path, (name, *COLUMNS), path.parent, obtain).rename(columns={name: "id"})


def _refuse_names(path: Path, names: pd.Series, obtain: str, first: int) -> None:
    refuse_rows(
        path, names, ~names.astype(str).str.fullmatch(PICTURE), "which is no name of a picture", obtain, first
    )
    refuse_rows(path, names, names.duplicated(), "which an earlier row has too", obtain, first)
