"""CelebA accessories: bare faces against faces with glasses or a hat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Reader, Recipe, Rendered
from cabench.datasets._raw import celeba
from cabench.datasets._raw.located import located
from cabench.datasets._raw.photos import centre_crop, read_photo, to_array
from cabench.datasets._raw.splits import group_by_group, grouped_split
from cabench.datasets._raw.tenth import tenth
from cabench.datasets._synthetic import faces
from cabench.errors import DataMissing
from cabench.seeds import numpy_stream

if TYPE_CHECKING:
    import pandas as pd

CROP, SIDE = 176, 128
# The cells of the real faces, numbered 2 * (0 bare, 1 glasses, 2 hat) + (0 female, 1 male).
CELLS = tuple(
    f"{sex} faces {worn}" for worn in ("without both", "with glasses", "with a hat") for sex in ("female", "male")
)
# How many of each the recipe wants; where a cell is short, the others shrink in proportion.
WANTED, PROPORTION = 3000, np.array([2, 2, 1, 1, 1, 1])
OFFICIAL_TEST = 0.2


class CelebaAccessories(Dataset):
    """Background: neither glasses nor hat. Target: exactly one of the two (METHODS 3.2); both at once is left out.

    Real faces are balanced: 6,000 bare women and men, and 3,000 of each with glasses and with a hat, or, where a
    cell is short, as many as keep this proportion; the release lets such a cell stay short. Age is known as young
    or not.

    `variant=standard` takes the faces person by person, in a seeded order, and puts each person in one part, every
    cell in its share. `variant=official` is the released recipe: the first faces in file order, and a random fifth
    of the images for test, so that persons stand on both sides (S18 of METHODS 6). The release draws it without a
    seed; here it is seeded, and a tenth of train is held for validation (D1).
    """

    name = "celeba_accessories"
    title = "CelebA accessories: bare faces / faces with glasses or a hat"
    modality = "photographs of faces (synthetic: procedural portraits), 64x64 colour"
    licence = "Real: CelebA agreement, non-commercial research only. Synthetic: the project's own."
    obtain = (
        "Download img_align_celeba.zip, list_attr_celeba.txt and identity_CelebA.txt from "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html to DIR/celeba/ and unpack the archive there "
        "(img_align_celeba/*.jpg); name DIR with --data-root."
    )
    steps = (
        "Read and accept the agreement on https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html.",
        "Follow its link to the drive, and download from there Img/img_align_celeba.zip (1.4 GB, md5 "
        "00d2c5bc6d35e252742224ab0c1e8fcb), Anno/list_attr_celeba.txt and Anno/identity_CelebA.txt.",
        "Put the two tables into DIR/celeba/, and unpack the archive there, so that DIR/celeba/img_align_celeba/"
        "000001.jpg exists. (An export of the attributes as list_attr_celeba.csv serves as well.)",
    )
    files = (celeba.PICTURES, celeba.ATTRIBUTES, celeba.IDENTITIES)
    factors = (
        Factor("accessory", "salient", "target", faces.ACCESSORIES, main=True),
        Factor("sex", "common", "all", ("female", "male")),
        Factor("age", "common", "all", unit="years"),
    )
    augmentation = Augmentation(
        size=32, crop=0.6, flip=0.5, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.1
    )

    def synthetic(self, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
        """Render n faces, x uint8 (n, 3, 64, 64); `accessory` is NaN on background."""
        people = faces.draw_people(n, numpy_stream(seed, part, "people"))
        x = faces.render(people, numpy_stream(seed, part, "images").integers(2**62), wear)
        people = people.wearing(wear)
        wears = people.accessory >= 0
        labels = {
            "accessory": np.where(wears, people.accessory, np.nan),
            "sex": people.sex.astype(float),
            "age": people.age,
        }
        return Rendered(x, wears.astype(np.int64), labels)

    def recipe(self, root: Path) -> Recipe:
        """Choose balanced faces by their attributes; a group is the owners' number of a person.

        Without identity_CelebA.txt the official variant makes each image a group of its own, and the standard one
        is refused.
        """
        located(root, celeba.PICTURES, self.obtain)
        table, left_out = _labelled(celeba.read_attributes(root, self.obtain))
        sources = [located(root, celeba.ATTRIBUTES, self.obtain)]
        table["group"] = np.arange(len(table))
        if self.variant == "standard" or celeba.knows_identities(root):
            table["group"] = celeba.read_identities(root, table["id"], self.obtain)
            sources.append(located(root, celeba.IDENTITIES, self.obtain))
        if self.variant == "standard":
            table = table.iloc[group_by_group(table["group"].to_numpy(), self.data_seed, self.name)]
        table, beyond = _balanced(table, sources[0], self.obtain)
        table = table.sort_index().reset_index(drop=True)  # in file order again
        table["part"] = self._parts(table)
        return Recipe(
            table.drop(columns="cell"),
            (3, SIDE, SIDE),
            (
                Factor("accessory", "salient", "target", faces.ACCESSORIES, main=True),
                Factor("sex", "common", "all", ("female", "male")),
                Factor("young", "common", "all", ("not young", "young")),
            ),
            {reason: count for reason, count in (left_out | beyond).items() if count},
            tuple(path.relative_to(root).as_posix() for path in sources),
            shares_groups=self.variant == "official",
        )

    def reader(self, root: Path, table: pd.DataFrame) -> Reader:
        """Cut out the middle of each face and shrink it."""
        folder = located(root, celeba.PICTURES, self.obtain)

        def read(row: Any) -> np.ndarray:
            face = centre_crop(read_photo(folder / row.id, "RGB"), CROP)
            return to_array(face.resize((SIDE, SIDE), Image.Resampling.BILINEAR))

        return read

    def _parts(self, table: pd.DataFrame) -> np.ndarray:
        cells = table["cell"].to_numpy()
        if self.variant == "standard":
            return grouped_split(table["group"].to_numpy(), cells, self.data_seed, self.name)
        order = numpy_stream(self.data_seed, self.name, "split").permutation(len(table))
        parts = np.full(len(table), "train", dtype="<U10")
        parts[order[: round(OFFICIAL_TEST * len(table))]] = "test"
        train = np.flatnonzero(parts == "train")
        parts[train[tenth(cells[train], self.data_seed, self.name, "validation")]] = "validation"
        return parts


def _labelled(attributes: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return id, labels and cell of the faces without two accessories, and how many are left out."""
    both = attributes["Eyeglasses"] & attributes["Wearing_Hat"]
    table = attributes[~both].reset_index(drop=True)
    worn = table["Eyeglasses"] + 2 * table["Wearing_Hat"].astype(int)
    labelled = table[["id"]].assign(
        target=(worn > 0).astype(np.int64),
        accessory=(worn - 1.0).where(worn > 0),
        sex=table["Male"].astype(float),
        young=table["Young"].astype(float),
        cell=2 * worn + table["Male"],
    )
    return labelled, {"faces with both glasses and a hat": int(both.sum())}


def _balanced(table: pd.DataFrame, source: Path, obtain: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep the first rows of each cell in the wanted proportion, and count the others.

    Raises:
        DataMissing: a cell is empty.

    """
    there = np.bincount(table["cell"], minlength=len(CELLS))
    possible = there // PROPORTION
    shortest = int(possible.argmin())
    size = min(WANTED, int(possible[shortest]))
    short = f"{there[shortest]} {CELLS[shortest]}"
    if not size:
        raise DataMissing(f"{source} lists {short}, too few for a balanced set. {obtain}")
    limits = size * PROPORTION
    why = f" (there are only {short} of {WANTED * PROPORTION[shortest]})" if size < WANTED else ""
    beyond = {
        f"{cell} beyond the first {limit}{why}": max(0, int(n - limit))
        for cell, limit, n in zip(CELLS, limits, there, strict=True)
    }
    kept = table.groupby("cell").cumcount().to_numpy() < limits[table["cell"]]
    return table[kept], beyond
