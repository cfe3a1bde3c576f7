"""ODIR-5K as it lies on Kaggle: data.xlsx and pictures of 512x512."""

import numpy as np
from PIL import Image

COLUMNS = (
    "ID", "Patient Age", "Patient Sex", "Left-Fundus", "Right-Fundus", "Left-Diagnostic Keywords",
    "Right-Diagnostic Keywords", *"NDGCAHMO",
)  # fmt: skip
SIDE = 512


def patient(number, left="normal fundus", right="normal fundus", flags="N", age=60, sex="Female"):
    """A row of the table; `flags` are the letters that are set."""
    pictures = [f"{number}_{side}.jpg" for side in ("left", "right")]
    return [number, age, sex, *pictures, left, right, *(int(flag in flags) for flag in "NDGCAHMO")]


def write_odir(root, patients, folder="odir_5k", pictures=True, columns=COLUMNS):
    """Write the rows as data.xlsx, and a picture per eye; without `pictures` these are empty files."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Sheet1"
    for row in (columns, *patients):
        book.active.append(row)
    place = root / folder / "preprocessed_images"
    place.mkdir(parents=True, exist_ok=True)
    book.save(root / folder / "data.xlsx")
    for number, *_ in patients:
        for eye, side in enumerate(("left", "right")):
            path = place / f"{number}_{side}.jpg"
            if pictures:
                Image.fromarray(picture(number, eye)).save(path, quality=95, subsampling=0)
            else:
                path.touch()


def picture(number, eye):
    """A reddish square on black, its left half darker, its lower half striped in green; blue is the eye."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[64:-64, 64:-64] = (200, 120, 20 + 60 * eye)
    image[64:-64, 64 : SIDE // 2, 0] = 100 + number % 50
    image[SIDE // 2 : -64, 64:-64:2, 1] = 40
    return image
