"""ODIR sub-types: normal eye fundus photographs against five findings."""

from __future__ import annotations

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Rendered
from cabench.datasets._synthetic import fundus
from cabench.seeds import numpy_stream


class OdirSubtypes(Dataset):
    """Background: normal fundus. Target: exactly one of diabetes, glaucoma, cataract, AMD, myopia."""

    name = "odir_subtypes"
    title = "ODIR sub-types: normal / diabetes, glaucoma, cataract, AMD or myopia"
    modality = "colour fundus photographs (synthetic: procedural phantoms), 64x64 colour"
    licence = "Real: see the terms of ODIR-2019, research use. Synthetic: the project's own."
    obtain = (
        "Download andrewmvd/ocular-disease-recognition-odir5k from "
        "https://www.kaggle.com/datasets/andrewmvd/ocular-disease-recognition-odir5k and put "
        "ODIR-5K/data.xlsx and preprocessed_images/ into DIR/odir_5k/."
    )
    factors = (
        Factor("subtype", "salient", "target", fundus.SUBTYPES, main=True),
        Factor("age", "common", "all", unit="years"),
        Factor("sex", "common", "all", ("female", "male")),
        Factor("eye", "common", "all", fundus.EYES),
    )
    augmentation = Augmentation(size=32, crop=0.6, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)

    def synthetic(self, n: int, seed: int, part: str) -> Rendered:
        """Render n fundus phantoms, x uint8 (n, 3, 64, 64); `subtype` is NaN on background."""
        eyes = fundus.draw_eyes(n, numpy_stream(seed, part, "eyes"))
        ill = eyes.subtype >= 0
        labels = {
            "subtype": np.where(ill, eyes.subtype, np.nan),
            "age": eyes.age,
            "sex": eyes.sex.astype(float),
            "eye": eyes.eye.astype(float),
        }
        x = fundus.render(eyes, numpy_stream(seed, part, "images").integers(2**62))
        return Rendered(x, ill.astype(np.int64), labels)
