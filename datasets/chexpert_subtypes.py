"""CheXpert sub-types: healthy chest radiographs against three findings."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Rendered
from cabench.datasets._synthetic import chest
from cabench.seeds import numpy_stream


class ChexpertSubtypes(Dataset):
    """Background: no finding. Target: exactly one of cardiomegaly, edema, pleural effusion."""

    name = "chexpert_subtypes"
    title = "CheXpert sub-types: no finding / cardiomegaly, edema or pleural effusion"
    modality = "chest radiographs, frontal (synthetic: analytic phantoms), 64x64 grey"
    licence = "Real: Stanford University dataset research use agreement. Synthetic: the project's own."
    obtain = (
        "Register at https://stanfordmlgroup.github.io/competitions/chexpert/, accept the research use "
        "agreement and unpack CheXpert-v1.0-small.zip to DIR/CheXpert-v1.0-small/ (train.csv and train/)."
    )
    factors = (
        Factor("subtype", "salient", "target", chest.SUBTYPES, main=True),
        Factor("age", "common", "all", unit="years"),
        Factor("sex", "common", "all", ("female", "male")),
    )
    augmentation = Augmentation(size=32, crop=0.6, brightness=0.3, contrast=0.3, noise=0.03)
    sizes: ClassVar[dict[str, tuple[int, int, int]]] = {
        "smoke": (400, 160, 200),
        "quick": (4000, 1000, 2000),
        "paper": (40000, 5000, 10000),
    }

    def synthetic(self, n: int, seed: int, part: str) -> Rendered:
        """Render n phantoms, x uint8 (n, 1, 64, 64); `subtype` is NaN on background."""
        patients = chest.draw_patients(n, numpy_stream(seed, part, "patients"))
        sick = patients.subtype >= 0
        labels = {
            "subtype": np.where(sick, patients.subtype, np.nan),
            "age": patients.age,
            "sex": patients.sex.astype(float),
        }
        x = chest.render(patients, numpy_stream(seed, part, "images").integers(2**62))
        return Rendered(x, sick.astype(np.int64), labels)
