"""CelebA accessories: bare faces against faces with glasses or a hat."""

from __future__ import annotations

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Rendered
from cabench.datasets._synthetic import faces
from cabench.seeds import numpy_stream


class CelebaAccessories(Dataset):
    """Background: neither glasses nor hat. Target: exactly one of the two."""

    name = "celeba_accessories"
    title = "CelebA accessories: bare faces / faces with glasses or a hat"
    modality = "photographs of faces (synthetic: procedural portraits), 64x64 colour"
    licence = "Real: CelebA agreement, non-commercial research only. Synthetic: the project's own."
    obtain = (
        "Download img_align_celeba.zip, list_attr_celeba.txt, identity_CelebA.txt and "
        "list_eval_partition.txt from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html to DIR/celeba/ "
        "and unpack the archive there (img_align_celeba/*.jpg)."
    )
    factors = (
        Factor("accessory", "salient", "target", faces.ACCESSORIES, main=True),
        Factor("sex", "common", "all", ("female", "male")),
        Factor("age", "common", "all", unit="years"),
    )
    augmentation = Augmentation(
        size=32, crop=0.6, flip=0.5, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.1
    )

    def synthetic(self, n: int, seed: int, part: str) -> Rendered:
        """Render n faces, x uint8 (n, 3, 64, 64); `accessory` is NaN on background."""
        people = faces.draw_people(n, numpy_stream(seed, part, "people"))
        wears = people.accessory >= 0
        labels = {
            "accessory": np.where(wears, people.accessory, np.nan),
            "sex": people.sex.astype(float),
            "age": people.age,
        }
        x = faces.render(people, numpy_stream(seed, part, "images").integers(2**62))
        return Rendered(x, wears.astype(np.int64), labels)
