"""ODIR-5K: where its files lie, its patients, and what the diagnostic keywords say of one eye."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cabench.dataset import RawFile
from cabench.datasets._raw.located import located
from cabench.datasets._raw.tables import read_xlsx, refuse_rows

if TYPE_CHECKING:
    import pandas as pd

PATIENTS = RawFile("odir_5k/data.xlsx", alternatives=("ODIR-5K/data.xlsx", "ODIR-5K/ODIR-5K/data.xlsx"))
PICTURES = RawFile(
    "odir_5k/preprocessed_images/", alternatives=("ODIR-5K/preprocessed_images/", "preprocessed_images/")
)
SIDES = ("Left", "Right")
# The classes, by the owners' flag of a patient and by the keywords of an eye. As in the flags, a suspected finding
# counts as one. "proliferative retinopathy" is written without "diabetic", and with "non" or "non " before it.
FLAGS = ("N", "D", "G", "C", "A", "M")
SIGNS = tuple(
    re.compile(sign)
    for sign in (
        "normal fundus",
        "diabetic retinopathy|proliferative retinopathy",
        "glaucoma",
        "cataract",
        "age-related macular degeneration",
        "myopi[ac]",
    )
)
# The owners call these indecisive: they describe the photograph, and the rest of the keywords the eye.
OF_THE_PICTURE = {"lens dust", "low image quality", "image offset", "optic disk photographically invisible"}
NO_FUNDUS = {"no fundus image", "anterior segment image"}
PICTURE = r"[\w-]+\.jpg"
COMMAS = "[,\N{FULLWIDTH COMMA}]"  # Chinese text has its own, and both stand in the table
UNKNOWN_AGE = 1  # what the owners write where they do not know it


def read_eyes(root: Path, obtain: str) -> pd.DataFrame:
    """Read the eyes of all patients, in file order, left before right.

    Args:
        root: the data root.
        obtain: the sentence that says how to get the file.

    Returns:
        a row per eye, with the columns `id` (the file name of its picture), `group` (the number of the patient),
        `eye` (0 = left, 1 = right), `age` (years, NaN where unknown), `sex` (0 = female, 1 = male, NaN where
        unknown), `keywords` (of this eye, "" where there are none) and FLAGS (of the patient, 0 or 1).

    Raises:
        DataMissing: the table is missing or damaged; says in which row.

    """
    import pandas as pd

    path = located(root, PATIENTS, obtain)
    pictures, keywords = ([f"{side}-{what}" for side in SIDES] for what in ("Fundus", "Diagnostic Keywords"))
    columns = ("ID", "Patient Age", "Patient Sex", *pictures, *keywords, *FLAGS)
    table = read_xlsx(path, columns, obtain)
    _refuse_damage(path, table, pictures, obtain)
    ages = pd.to_numeric(table["Patient Age"], errors="coerce")
    sexes = table["Patient Sex"].astype(str).str.strip().str.lower()
    patients = (
        table[list(FLAGS)]
        .astype(int)
        .assign(
            group=table["ID"].astype(np.int64),
            age=ages.where(ages > UNKNOWN_AGE).astype(float),
            sex=sexes.map({"female": 0.0, "male": 1.0}).astype(float),
        )
    )
    said = table[keywords].astype(object).fillna("").astype(str)
    eyes = [
        patients.assign(id=table[picture], eye=float(eye), keywords=said[words])
        for eye, (picture, words) in enumerate(zip(pictures, keywords, strict=True))
    ]
    return pd.concat(eyes).sort_index(kind="stable").reset_index(drop=True)


def diagnosis(keywords: str) -> tuple[int, str]:
    """Return what the keywords say of one eye: (class, ""), or (-1, why it has no class).

    A class is an index into FLAGS. An eye has one if its keywords name this one class and no other finding;
    keywords that describe the photograph do not count.

    >>> diagnosis("moderate non proliferative retinopathy，lens dust")
    (1, '')
    >>> diagnosis("cataract，drusen")
    (-1, 'with another finding')
    """
    words = {" ".join(word.lower().split()) for word in re.split(COMMAS, keywords)} - {""} - OF_THE_PICTURE
    if words & NO_FUNDUS:
        return -1, "whose picture shows no fundus"
    found = {word: {k for k, sign in enumerate(SIGNS) if sign.search(word)} for word in words}
    classes = set().union(*found.values())
    if not words:
        return -1, "whose keywords name no finding"
    if not all(found.values()):
        return -1, "with another finding"
    return (classes.pop(), "") if len(classes) == 1 else (-1, "of more than one class")


def _refuse_damage(path: Path, table: pd.DataFrame, pictures: list[str], obtain: str) -> None:
    import pandas as pd

    number = pd.to_numeric(table["ID"], errors="coerce")
    refuse_rows(path, table["ID"], number.isna() | (number % 1 != 0), "which is no number of a patient", obtain)
    for column in ("ID", *pictures):
        refuse_rows(path, table[column], table[column].duplicated(), "which an earlier row has too", obtain)
    for column in pictures:
        named = table[column].astype(str).str.fullmatch(PICTURE)
        refuse_rows(path, table[column], ~named, "which is no name of a picture", obtain)
    for column in FLAGS:
        refuse_rows(path, table[column], ~table[column].isin((0, 1)), "which is neither 0 nor 1", obtain)
