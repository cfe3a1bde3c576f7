"""CheXpert-v1.0-small as Stanford distributes it: train.csv and grey jpgs of about 320x390."""

import csv

import numpy as np
from PIL import Image

FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
FOLDER = "CheXpert-v1.0-small"
WIDTH, HEIGHT = 390, 320
OF_CLASS = ("No Finding", "Cardiomegaly", "Edema", "Pleural Effusion")


def radiograph(patient, *, study=1, view=1, sex="Female", age=60, side="Frontal", position="AP", **findings):
    """A row of train.csv; findings are 1, 0, -1 or "", their names in small letters with "_" for a blank."""
    path = f"{FOLDER}/train/patient{patient:05d}/study{study}/view{view}_{side.lower()}.jpg"
    row = dict.fromkeys(FINDINGS, "")
    for name, value in findings.items():
        row[name.replace("_", " ").title()] = value if value == "" else f"{value:.1f}"
    assert set(row) == set(FINDINGS)
    named = {"Path": path, "Sex": sex, "Age": age, "Frontal/Lateral": side, "AP/PA": position}
    return named | row


def of_class(patient, k, **more):
    """A radiograph of class `k`: no finding, then the sub-types."""
    return radiograph(patient, **{OF_CLASS[k].lower().replace(" ", "_"): 1}, **more)


def write_chexpert(root, rows, columns=COLUMNS, pictures=True):
    """Write train.csv and a picture per row; without `pictures`, the folder of them alone."""
    (root / FOLDER / "train").mkdir(parents=True, exist_ok=True)
    with (root / FOLDER / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    for i, row in enumerate(rows if pictures else ()):
        path = root / row["Path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(i)).save(path, quality=95)


def picture(i):
    """Four grey quarters inside a white border of 10 pixels; the number of the row is the grey of the first."""
    image = np.full((HEIGHT, WIDTH), 255, np.uint8)
    inner = image[10:-10, 10:-10]
    middle = (HEIGHT - 20) // 2, (WIDTH - 20) // 2
    inner[: middle[0], : middle[1]] = 20 + i % 100
    inner[: middle[0], middle[1] :] = 150
    inner[middle[0] :, : middle[1]] = 200
    inner[middle[0] :, middle[1] :] = 0
    return image
