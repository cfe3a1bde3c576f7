"""Schizophrenia MRI: grey-matter volumes of healthy subjects against patients with two symptom scores."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Rendered
from cabench.datasets._synthetic import brain
from cabench.seeds import numpy_stream


class SchizophreniaMri(Dataset):
    """Background: healthy. Target: schizophrenia, scored by SANS (negative) and SAPS (positive symptoms)."""

    name = "schizophrenia_mri"
    title = "Schizophrenia MRI: healthy / schizophrenia with SANS and SAPS"
    modality = "3-D brain MRI, grey matter (synthetic: analytic phantoms), 32x32x32"
    licence = "Real: see the page of ds000030; COBRE by data use agreement. Synthetic: the project's own."
    obtain = (
        "Open substitute for the papers' unreleased pool: download ds000030 (UCLA CNP: 130 healthy, "
        "50 schizophrenia) from https://openneuro.org/datasets/ds000030 with its phenotype/ folder to "
        "DIR/ds000030/ and compute modulated grey-matter maps (VBM, e.g. CAT12) from the T1w images; "
        "more subjects: COBRE from SchizConnect under its data use agreement."
    )
    factors = (
        Factor("sans", "salient", "target", unit="points", main=True),
        Factor("saps", "salient", "target", unit="points"),
        Factor("diagnosis", "salient", "all", ("healthy", "schizophrenia")),
        Factor("age", "common", "all", unit="years"),
        Factor("sex", "common", "all", ("female", "male")),
        Factor("site", "common", "all", brain.SITES),
    )
    augmentation = Augmentation(size=16, shift=0.06, brightness=0.3, contrast=0.3, noise=0.05, cutout=0.25)
    sizes: ClassVar[dict[str, tuple[int, int, int]]] = {
        "smoke": (240, 96, 144),
        "quick": (3000, 600, 1200),
        "paper": (12000, 2000, 4000),
    }

    def synthetic(self, n: int, seed: int, part: str) -> Rendered:
        """Render n volumes, x uint8 (n, 1, 32, 32, 32) as (z, y, x); symptom scores are NaN on background."""
        subjects = brain.draw_subjects(n, numpy_stream(seed, part, "subjects"))
        sick = subjects.y == 1
        labels = {
            "sans": np.where(sick, subjects.sans, np.nan),
            "saps": np.where(sick, subjects.saps, np.nan),
            "diagnosis": subjects.y.astype(float),
            "age": subjects.age,
            "sex": subjects.sex.astype(float),
            "site": subjects.site.astype(float),
        }
        x = brain.render(subjects, numpy_stream(seed, part, "images").integers(2**62))
        return Rendered(x, subjects.y.astype(np.int64), labels)
