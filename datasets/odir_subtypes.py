"""ODIR sub-types: normal eye fundus photographs against five findings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Reader, Recipe, Rendered
from cabench.datasets._raw import odir
from cabench.datasets._raw.located import located
from cabench.datasets._raw.photos import AREA, read_photo, to_array
from cabench.datasets._raw.splits import grouped_split
from cabench.datasets._raw.tenth import tenth
from cabench.datasets._synthetic import fundus
from cabench.errors import DataMissing
from cabench.seeds import numpy_stream

if TYPE_CHECKING:
    import pandas as pd

SIDE = 224  # of the real images
# Of the released recipe: images at most of each class (normal, then the sub-types), and those put aside at first.
CAPS = np.array([2300, 400, 350, 350, 350, 350])
ASIDE = 3


class OdirSubtypes(Dataset):
    """Background: normal fundus. Target: exactly one of diabetes, glaucoma, cataract, AMD, myopia (METHODS 3.5).

    In the real files the diagnostic keywords speak of one eye and the flags of the patient.

    `variant=standard` labels each eye by its keywords and drops it if they name another finding (hypertension,
    drusen, ...) or more than one class; a suspected finding counts, as it does in the owners' flags. Keywords about
    the photograph (lens dust, a disk out of sight, low quality, an offset) change nothing: an eye of which nothing
    else is said is dropped, and so is one whose picture shows no fundus. Both eyes of a patient stand in one part,
    every class in its share.

    `variant=official` is the released recipe: both eyes get the flag of the patient if exactly one of N, D, G, C, A
    and M is set (H and O are ignored); of each class the first up to a cap, without the first three of all; a tenth
    of the images for test, stratified by y. So an eye may carry the label of the other one, and the two may stand
    on both sides (S17 of METHODS 6). The release draws the test images without a seed; here they are seeded, and a
    tenth of train is held for validation (D1).

    In both, pixels are left as they are, where the release reads them as BGR, applies the statistics of ImageNet to
    bytes and divides by the extremes of train; and an unknown age (1 or blank) is missing, where it takes a mean.
    """

    name = "odir_subtypes"
    title = "ODIR sub-types: normal / diabetes, glaucoma, cataract, AMD or myopia"
    modality = "colour fundus photographs (synthetic: procedural phantoms), 64x64 colour"
    licence = "Real: see the terms of ODIR-2019, research use. Synthetic: the project's own."
    obtain = (
        "Download andrewmvd/ocular-disease-recognition-odir5k from "
        "https://www.kaggle.com/datasets/andrewmvd/ocular-disease-recognition-odir5k and put "
        "ODIR-5K/data.xlsx and preprocessed_images/ into DIR/odir_5k/; name DIR with --data-root."
    )
    steps = (
        "Sign in to Kaggle and accept the terms on "
        "https://www.kaggle.com/datasets/andrewmvd/ocular-disease-recognition-odir5k.",
        "Download the archive (by the button, or with `kaggle datasets download "
        "andrewmvd/ocular-disease-recognition-odir5k`) and unpack it.",
        "Put data.xlsx from its folder ODIR-5K/ODIR-5K, and its folder preprocessed_images, into DIR/odir_5k/, so "
        "that DIR/odir_5k/preprocessed_images/0_left.jpg exists.",
    )
    files = (odir.PATIENTS, odir.PICTURES)
    factors = (
        Factor("subtype", "salient", "target", fundus.SUBTYPES, main=True),
        Factor("age", "common", "all", unit="years"),
        Factor("sex", "common", "all", ("female", "male")),
        Factor("eye", "common", "all", fundus.EYES),
    )
    augmentation = Augmentation(size=32, crop=0.6, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)

    def synthetic(self, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
        """Render n fundus phantoms, x uint8 (n, 3, 64, 64); `subtype` is NaN on background."""
        eyes = fundus.draw_eyes(n, numpy_stream(seed, part, "eyes"))
        x = fundus.render(eyes, numpy_stream(seed, part, "images").integers(2**62), wear)
        eyes = eyes.wearing(wear)
        ill = eyes.subtype >= 0
        labels = {
            "subtype": np.where(ill, eyes.subtype, np.nan),
            "age": eyes.age,
            "sex": eyes.sex.astype(float),
            "eye": eyes.eye.astype(float),
        }
        return Rendered(x, ill.astype(np.int64), labels)

    def recipe(self, root: Path) -> Recipe:
        """Label the eyes whose picture is here; a group is the owners' number of a patient."""
        folder = located(root, odir.PICTURES, self.obtain)
        eyes = odir.read_eyes(root, self.obtain)
        here = eyes["id"].isin([picture.name for picture in folder.iterdir()])
        left_out = {"eyes without a picture": int((~here).sum())}
        label = _by_patient if self.variant == "official" else _by_eye
        table, dropped = label(eyes[here].reset_index(drop=True))
        left_out = {reason: count for reason, count in (left_out | dropped).items() if count}
        if table.empty:
            raise DataMissing(f"{folder} holds no picture that the recipe keeps ({left_out}). {self.obtain}")
        table["target"] = (table["class"] > 0).astype(np.int64)
        table["subtype"] = (table["class"] - 1.0).where(table["target"] == 1)
        table["part"] = self._parts(table)
        return Recipe(
            table.drop(columns=["class", "keywords", *odir.FLAGS]),
            (3, SIDE, SIDE),
            self.factors,
            left_out,
            (located(root, odir.PATIENTS, self.obtain).relative_to(root).as_posix(),),
            shares_groups=self.variant == "official",
        )

    def reader(self, root: Path, table: pd.DataFrame) -> Reader:
        """Shrink each picture, in the order red, green, blue."""
        folder = located(root, odir.PICTURES, self.obtain)
        return lambda row: to_array(read_photo(folder / row.id, "RGB").resize((SIDE, SIDE), AREA))

    def _parts(self, table: pd.DataFrame) -> np.ndarray:
        classes = table["class"].to_numpy()
        if self.variant == "standard":
            return grouped_split(table["group"].to_numpy(), classes, self.data_seed, self.name)
        parts = np.full(len(table), "train", dtype="<U10")
        parts[tenth(table["target"].to_numpy(), self.data_seed, self.name, "test")] = "test"
        train = np.flatnonzero(parts == "train")
        parts[train[tenth(classes[train], self.data_seed, self.name, "validation")]] = "validation"
        return parts


def _by_eye(eyes: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the eyes with one class by their own keywords, and how many have none, by reason."""
    said = [odir.diagnosis(keywords) for keywords in eyes["keywords"]]
    labelled = eyes.assign(**{"class": [k for k, _ in said]})
    dropped = Counter(f"eyes {why}" for _, why in said if why)
    return labelled[labelled["class"] >= 0].reset_index(drop=True), dict(dropped)


def _by_patient(eyes: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the eyes that the release keeps by their patient's flags, and how many it drops."""
    flags = eyes[list(odir.FLAGS)].to_numpy()
    one = flags.sum(1) == 1
    labelled = eyes.assign(**{"class": flags.argmax(1)})[one]
    capped = labelled[labelled.groupby("class").cumcount().to_numpy() < CAPS[labelled["class"]]]
    return capped.iloc[ASIDE:].reset_index(drop=True), {
        f"eyes of patients without exactly one of {', '.join(odir.FLAGS)}": int((~one).sum()),
        "eyes beyond the caps of the release": len(labelled) - len(capped),
        "eyes that the release puts aside": min(ASIDE, len(capped)),
    }
