"""CheXpert sub-types: healthy chest radiographs against three findings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, RawFile, Reader, Recipe, Rendered, Unreadable
from cabench.datasets._raw.located import located
from cabench.datasets._raw.photos import AREA, read_photo, to_array
from cabench.datasets._raw.splits import group_by_group, grouped_split
from cabench.datasets._raw.tables import read_csv, refuse_rows
from cabench.datasets._raw.tenth import tenth
from cabench.datasets._synthetic import chest
from cabench.errors import DataMissing
from cabench.seeds import numpy_stream

if TYPE_CHECKING:
    import pandas as pd

TABLE = RawFile("CheXpert-v1.0-small/train.csv")
PICTURES = RawFile("CheXpert-v1.0-small/train/")
PATH = "CheXpert-v1.0-small/train/patient([0-9]{1,9})/study[0-9]+/view[0-9]+_(?:frontal|lateral)\\.jpg"
SUBTYPES = ("Cardiomegaly", "Edema", "Pleural Effusion")
# Lung Opacity and Support Devices are no other finding.
OTHERS = (
    "Pneumonia", "Enlarged Cardiomediastinum", "Pneumothorax", "Lung Lesion", "Pleural Other", "Fracture",
    "Consolidation", "Atelectasis",
)  # fmt: skip
FINDINGS = ("No Finding", *SUBTYPES, *OTHERS)
BORDER, SIDE = 10, 224  # pixels that are cut off at each side of a radiograph, and the side of an image
# Images at most of each class (no finding, then the sub-types). The release stops when a count exceeds its cap.
CAPS = np.array([10_000, 3_000, 3_000, 3_000])
OFFICIAL_TEST = 0.1


class ChexpertSubtypes(Dataset):
    """Background: no finding. Target: exactly one of cardiomegaly, edema, pleural effusion (METHODS 3.4).

    Of the real radiographs, frontal AP views are kept: those without a finding, and those with exactly one of the
    three, none of the three uncertain (-1), and no other finding, be it certain or not.

    `variant=standard` takes at most 10,000 and 3 x 3,000 of them, patient by patient in a seeded order, and puts
    each patient in one part, every class in its share.

    `variant=official` is the released recipe: the first 10,001 and 3 x 3,001 in file order, since it stops a class
    one image late, and a random tenth of the images for test, so that patients stand on both sides (S16 of METHODS
    6). With `data_seed=0` these are the test images of the release; a tenth of train is held for validation (D1).

    In both, a sex that is unknown is missing, where the release makes it male, and so is an age of 0. Pixels are
    left as they are, without the statistics of ImageNet.
    """

    name = "chexpert_subtypes"
    title = "CheXpert sub-types: no finding / cardiomegaly, edema or pleural effusion"
    modality = "chest radiographs, frontal (synthetic: analytic phantoms), 64x64 grey"
    licence = "Real: Stanford University dataset research use agreement. Synthetic: the project's own."
    obtain = (
        "Register at https://stanfordmlgroup.github.io/competitions/chexpert/, accept the research use "
        "agreement and unpack CheXpert-v1.0-small.zip to DIR/CheXpert-v1.0-small/ (train.csv and train/); "
        "name DIR with --data-root."
    )
    steps = (
        "Register on https://stanfordmlgroup.github.io/competitions/chexpert/ and accept the research use "
        "agreement.",
        "Download CheXpert-v1.0-small.zip (11 GB) by the link that is sent to you.",
        "Unpack it in DIR, so that DIR/CheXpert-v1.0-small/train.csv and "
        "DIR/CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg exist.",
    )
    files = (TABLE, PICTURES)
    factors = (
        Factor("subtype", "salient", "target", chest.SUBTYPES, main=True),
        Factor("age", "common", "all", unit="years"),
        Factor("sex", "common", "all", ("female", "male")),
    )
    augmentation = Augmentation(size=32, crop=0.6, brightness=0.3, contrast=0.3, noise=0.03)

    def synthetic(self, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
        """Render n phantoms, x uint8 (n, 1, 64, 64); `subtype` is NaN on background."""
        patients = chest.draw_patients(n, numpy_stream(seed, part, "patients"))
        x = chest.render(patients, numpy_stream(seed, part, "images").integers(2**62), wear)
        patients = patients.wearing(wear)
        sick = patients.subtype >= 0
        labels = {
            "subtype": np.where(sick, patients.subtype, np.nan),
            "age": patients.age,
            "sex": patients.sex.astype(float),
        }
        return Rendered(x, sick.astype(np.int64), labels)

    def recipe(self, root: Path) -> Recipe:
        """Filter the rows of train.csv and cap the classes; a group is the owners' number of a patient."""
        path = located(root, TABLE, self.obtain)
        located(root, PICTURES, self.obtain)
        table, left_out = _labelled(_read(path, root, self.obtain))
        if table.empty:
            raise DataMissing(f"{path} lists no radiograph that the recipe keeps ({left_out}). {self.obtain}")
        if self.variant == "standard":
            table = table.iloc[group_by_group(table["group"].to_numpy(), self.data_seed, self.name)]
        caps = CAPS + (self.variant == "official")
        capped = table.groupby("class").cumcount().to_numpy() < caps[table["class"]]
        left_out["radiographs beyond the caps"] = int((~capped).sum())
        table = table[capped].sort_index().reset_index(drop=True)  # in file order
        table["part"] = self._parts(table)
        return Recipe(
            table.drop(columns="class"),
            (1, SIDE, SIDE),
            self.factors,
            {reason: count for reason, count in left_out.items() if count},
            (TABLE.path,),
            shares_groups=self.variant == "official",
        )

    def reader(self, root: Path, table: pd.DataFrame) -> Reader:
        """Cut the border off each radiograph and shrink the rest, to (1, 224, 224)."""

        def read(row: Any) -> np.ndarray:
            image = read_photo(root / row.id, "L")
            right, bottom = image.width - BORDER, image.height - BORDER
            if min(right, bottom) <= BORDER:
                raise Unreadable(
                    f"it is {image.width}x{image.height}, of which a border of {BORDER} leaves nothing"
                )
            return to_array(image.resize((SIDE, SIDE), AREA, box=(BORDER, BORDER, right, bottom)))

        return read

    def _parts(self, table: pd.DataFrame) -> np.ndarray:
        classes = table["class"].to_numpy()
        if self.variant == "standard":
            return grouped_split(table["group"].to_numpy(), classes, self.data_seed, self.name)
        from sklearn.model_selection import train_test_split

        parts = np.full(len(table), "train", dtype="<U10")
        # As the release calls it, with random_state=0.
        seed = self.data_seed % 2**32
        train, test = train_test_split(np.arange(len(table)), test_size=OFFICIAL_TEST, random_state=seed)
        parts[test] = "test"
        parts[train[tenth(classes[train], self.data_seed, self.name, "validation")]] = "validation"
        return parts


def _read(path: Path, root: Path, obtain: str) -> pd.DataFrame:
    """Return the rows of train.csv, with `group` by the path; refuse what the owners cannot have written."""
    import pandas as pd

    columns = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
    table = read_csv(path.relative_to(root), columns, root, obtain)
    paths = table["Path"].astype(str)
    refuse_rows(
        path, table["Path"], ~paths.str.fullmatch(PATH), f"which is no radiograph in {PICTURES.path}", obtain
    )
    refuse_rows(path, table["Path"], paths.duplicated(), "which an earlier row has too", obtain)
    said = table[list(FINDINGS)].apply(pd.to_numeric, errors="coerce")
    for finding in FINDINGS:
        known = said[finding].isin((1, 0, -1)) | table[finding].isna()
        refuse_rows(path, table[finding], ~known, "which is neither 1, 0, -1 nor blank", obtain)
    return table.assign(**said, group=paths.str.extract(PATH, expand=False).astype(np.int64))


def _labelled(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows that the filters keep, with labels and their `class`, and how many each filter drops."""
    import pandas as pd

    healthy = (rows["No Finding"] == 1).to_numpy()
    signs = (rows[list(SUBTYPES)] == 1).to_numpy()
    filters = {
        "radiographs with another finding": ~healthy & rows[list(OTHERS)].isin((1, -1)).any(axis=1).to_numpy(),
        "radiographs that are no frontal AP view": (
            (rows["AP/PA"] != "AP") | (rows["Frontal/Lateral"] != "Frontal")
        ).to_numpy(),
        "radiographs with an uncertain sub-type": ~healthy & (rows[list(SUBTYPES)] == -1).any(axis=1).to_numpy(),
        "radiographs without exactly one sub-type": ~healthy & (signs.sum(1) != 1),
    }
    kept, left_out = np.ones(len(rows), bool), {}
    for reason, drops in filters.items():
        left_out[reason] = int((kept & drops).sum())
        kept &= ~drops
    ages = pd.to_numeric(rows["Age"], errors="coerce")
    classes = np.where(healthy, 0, 1 + signs.argmax(1))
    labelled = pd.DataFrame(
        {
            "id": rows["Path"],
            "target": (classes > 0).astype(np.int64),
            "group": rows["group"],
            "subtype": np.where(classes > 0, classes - 1.0, np.nan),
            "age": ages.where(ages > 0).astype(float),
            "sex": rows["Sex"].map({"Female": 0.0, "Male": 1.0}).astype(float),
            "class": classes,
        }
    )
    return labelled[kept].reset_index(drop=True), left_out
