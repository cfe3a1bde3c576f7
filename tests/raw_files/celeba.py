"""CelebA as its owners distribute it: aligned jpgs, and text tables padded with blanks; also the exports as csv."""

import numpy as np
from PIL import Image

NAMES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
    "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
    "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open",
    "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline",
    "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
WIDTH, HEIGHT = 178, 218


def write_celeba(root, faces, form="txt", folder="celeba", pictures=True):
    """Write one picture and one row of each table per face.

    Args:
        root: the data root.
        faces: (n, 5) of integers: glasses, hat, male, young (0 or 1) and the person.
        form: of the attributes: "txt", or the name of the first column of the export as csv.
        folder: below the root.
        pictures: whether to write the jpgs; their folder is made in any case.

    """
    place = root / folder
    (place / "img_align_celeba").mkdir(parents=True, exist_ok=True)
    names = [f"{i + 1:06d}.jpg" for i in range(len(faces))]
    rows = np.random.default_rng(1).choice((-1, 1), (len(faces), len(NAMES)))
    for column, name in enumerate(("Eyeglasses", "Wearing_Hat", "Male", "Young")):
        rows[:, NAMES.index(name)] = [1 if face[column] else -1 for face in faces]
    if form == "txt":
        lines = [name + "".join(f" {v:2d}" for v in row) for name, row in zip(names, rows.tolist(), strict=True)]
        _write(place / "list_attr_celeba.txt", [str(len(faces)), " ".join(NAMES) + " ", *lines])
    else:
        lines = [",".join(map(str, (name, *row))) for name, row in zip(names, rows.tolist(), strict=True)]
        _write(place / "list_attr_celeba.csv", [",".join((form, *NAMES)), *lines])
    _write(place / "identity_CelebA.txt", [f"{name} {face[4]}" for name, face in zip(names, faces, strict=True)])
    _write(place / "list_eval_partition.txt", [f"{name} {i % 3}" for i, name in enumerate(names)])
    for i, name in enumerate(names if pictures else ()):
        Image.fromarray(picture(i)).save(place / "img_align_celeba" / name, quality=95, subsampling=0)


def picture(i):
    """Red are narrow upright waves, green flat ones that grow narrower, blue says which picture it is."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = (np.sin(2 * np.pi * x / 5), np.sin(y * y / 200), np.full(x.shape, i % 20 / 10 - 1))
    return (128 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def balanced(per_cell, images_per_person=1):
    """The six cells, two of bare faces for each other one, in an order in which they take turns."""
    cells = [(0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (0, 1, 0), (0, 1, 1)] * per_cell
    return [(*cell, i % 2, 1 + i // images_per_person) for i, cell in enumerate(cells)]


def _write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
