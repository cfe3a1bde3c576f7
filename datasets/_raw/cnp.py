"""UCLA CNP (ds000030): its participants, their symptom scores, and where grey-matter maps of them lie.

That the symptom tables hold a rating of each domain and no total is known from programs that read them; the rest of
their layout could not be checked here, so totals are looked for as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cabench.dataset import RawFile
from cabench.datasets._raw.located import damaged, located
from cabench.datasets._raw.tables import read_csv, read_header, refuse_rows
from cabench.errors import DataMissing

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "ds000030"
MIRROR = "https://s3.amazonaws.com/openneuro.org"


def _table(name: str, *alternatives: str) -> RawFile:
    path = f"{FOLDER}/{name}"
    return RawFile(path, (f"{MIRROR}/{path}",), alternatives=tuple(f"{FOLDER}/{other}" for other in alternatives))


PARTICIPANTS = _table("participants.tsv")
SCALES = {  # alternatives: the names of the first releases
    scale: _table(f"phenotype/{scale}.tsv", f"phenotype/phenotype_{scale}.tsv") for scale in ("sans", "saps")
}
MAPS = RawFile(
    f"{FOLDER}/derivatives/cat12/",
    alternatives=(
        f"{FOLDER}/derivatives/cat12*/",
        f"{FOLDER}/sub-*/anat/mri/mwp1*.nii*",
        f"{FOLDER}/sub-*/anat/*_GM.nii*",
        f"{FOLDER}/derivatives/fmriprep/",
    ),
)
COLUMNS = ("participant_id", "diagnosis", "age", "gender", "ScannerSerialNumber")
# A total of the scale "sans" may be called so, in small or capital letters.
TOTALS = ("{}", "{}_total", "{}total", "{}_score", "{}_sum", "{}_sumscore")
# The global ratings, from 0 to 5, whose sum is the summary score of the scale (Andreasen 1983, 1984). The owners'
# SAPS table also rates inappropriate affect, which is not part of it.
RATINGS = {
    "sans": (
        "global_bluntaffect", "global_alogia", "global_avolition", "global_anhedonia", "global_attention",
    ),
    "saps": ("global_hallucinations", "global_delusions", "global_bizarrebehav", "global_posformalthought"),
}  # fmt: skip
HIGHEST_RATING = 5
# Where grey-matter maps may lie below FOLDER; those of the first pattern that finds any are used.
PATTERNS = (
    "derivatives/cat12*/{}/**/mwp1*",  # CAT12, modulated, in a tree of its own
    "{}/anat/mri/mwp1*",  # where CAT12 writes if nobody tells it otherwise
    "{}/anat/{}*_GM",
    "derivatives/fmriprep/{}/anat/{}*_space-MNI*-GM_prob*",  # the owners' release, unmodulated probabilities
)
SUFFIXES = (".nii", ".nii.gz")


def read_participants(root: Path, obtain: str) -> pd.DataFrame:
    """Read the participants, in file order.

    Args:
        root: the data root.
        obtain: the sentence that says how to get the files.

    Returns:
        a row per participant, with the columns `id` (sub-...), `group` (the number of the row), `diagnosis` (the
        owners' text), `age` (years), `sex` (0 = female, 1 = male), and `site` (the scanner's serial number, text);
        what is unknown is missing.

    Raises:
        DataMissing: the table is missing or damaged; says in which row.

    """
    import pandas as pd

    path = located(root, PARTICIPANTS, obtain)
    table = read_csv(path.relative_to(root), COLUMNS, root, obtain, sep="\t")
    _refuse_ids(path, table["participant_id"], obtain)
    ages = pd.to_numeric(table["age"], errors="coerce")
    return pd.DataFrame(
        {
            "id": table["participant_id"],
            "group": np.arange(len(table)),
            "diagnosis": table["diagnosis"].astype(str).str.strip(),
            "age": ages.where(ages > 0).astype(float),
            "sex": table["gender"].map({"F": 0.0, "M": 1.0}).astype(float),
            "site": table["ScannerSerialNumber"].map(_serial, na_action="ignore").astype(object),
        }
    )


def read_scores(root: Path, scale: str, ids: pd.Series, obtain: str) -> tuple[np.ndarray, Path]:
    """Read the total of a symptom scale.

    It is the column whose name is one of TOTALS, or else the sum of the columns RATINGS, of participants.tsv, or,
    if that has neither, of the scale's own table. A total below 0, a rating that is not from 0 to 5, and the sum
    over a missing rating are missing.

    Args:
        root: the data root.
        scale: "sans" or "saps".
        ids: participants (n,).
        obtain: the sentence that says how to get the files.

    Returns:
        the scores in points (n,), NaN where missing, and the table that they are from.

    Raises:
        DataMissing: the table is missing, damaged, or has no such columns; says which.

    """
    import pandas as pd

    path = located(root, PARTICIPANTS, obtain)
    names = _columns(read_header(path, obtain, "\t"), scale)
    if not names:
        path = located(root, SCALES[scale], obtain)
        names = _columns(read_header(path, obtain, "\t"), scale)
    if not names:
        totals = ", ".join(total.format(scale) for total in TOTALS)
        why = f"it has none of the columns {totals}, nor all of {', '.join(RATINGS[scale])}"
        raise damaged(path, why, obtain)
    table = read_csv(path.relative_to(root), ("participant_id", *names), root, obtain, sep="\t")
    _refuse_ids(path, table["participant_id"], obtain)
    values = table[names].apply(pd.to_numeric, errors="coerce")
    for name in names:
        refuse_rows(path, table[name], values[name].isna() & table[name].notna(), "which is no number", obtain)
    valid = values.where((values >= 0) & (values <= (np.inf if len(names) == 1 else HIGHEST_RATING)))
    scores = valid.sum(axis=1, skipna=False).set_axis(table["participant_id"])
    return scores.reindex(ids).to_numpy(), path


def find_maps(root: Path, ids: Iterable[str], obtain: str) -> list[str | None]:
    """Return where the grey-matter map of each participant lies, relative to the root; None if there is none.

    All are of one kind: PATTERNS are tried in their order, and the first that finds a map is used for all.

    Raises:
        DataMissing: nobody has a map, or somebody has two.

    """
    subjects = list(ids)
    for pattern in PATTERNS:
        found = [_matches(root, pattern, subject) for subject in subjects]
        for subject, maps in zip(subjects, found, strict=True):
            if len(maps) > 1:
                raise DataMissing(
                    f"{subject} has {len(maps)} grey-matter maps, {maps[0]} and {maps[1]}, below {root}; "
                    "leave one for each subject."
                )
        if any(found):
            return [maps[0] if maps else None for maps in found]
    places = ", ".join(f"{FOLDER}/{pattern}.nii".replace("{}", "sub-*") for pattern in PATTERNS)
    raise DataMissing(f"No grey-matter map lies below {root} (looked for {places}, or .nii.gz). {obtain}")


def _matches(root: Path, pattern: str, subject: str) -> list[str]:
    found = (root / FOLDER).glob(pattern.replace("{}", subject) + ".nii*")
    return sorted(path.relative_to(root).as_posix() for path in found if path.name.endswith(SUFFIXES))


def _columns(header: Sequence[str], scale: str) -> list[str]:
    """Return the column of a scale's total, else those of all its ratings, else none."""
    there = {name.lower(): name for name in header}
    totals = [there[name] for name in (total.format(scale) for total in TOTALS) if name in there]
    ratings = [there[name] for name in RATINGS[scale] if name in there]
    return totals[:1] or (ratings if len(ratings) == len(RATINGS[scale]) else [])


def _refuse_ids(path: Path, ids: pd.Series, obtain: str) -> None:
    named = ids.astype(str).str.fullmatch("sub-[A-Za-z0-9]+")
    refuse_rows(path, ids, ~named, "which is no name of a participant", obtain)
    refuse_rows(path, ids, ids.duplicated(), "which an earlier row has too", obtain)


def _serial(value: object) -> str:
    """Return a serial number as text; where one is missing, pandas has made the others floats."""
    return f"{value:.0f}" if isinstance(value, float) else str(value)
