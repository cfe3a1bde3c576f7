"""Schizophrenia MRI: grey-matter volumes of healthy subjects against patients with two symptom scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, Reader, Recipe, Rendered, Unreadable
from cabench.datasets._raw import cnp
from cabench.datasets._raw.splits import grouped_split
from cabench.datasets._raw.volumes import common_grid, read_cube
from cabench.datasets._synthetic import brain
from cabench.errors import DataMissing, UserError
from cabench.seeds import numpy_stream

if TYPE_CHECKING:
    import pandas as pd

SIDE = 64  # of the real volumes
# The density of grey matter that is stored as 255: a cell that is full of it. Modulation goes a little beyond where
# a brain is larger than the template; far beyond are only pictures of another kind, in units of their own.
FULL, LARGEST = 1.0, 10.0
DIAGNOSES = {"CONTROL": 0, "SCHZ": 1}


class SchizophreniaMri(Dataset):
    """Background: healthy. Target: schizophrenia, scored by SANS (negative) and SAPS (positive symptoms).

    The real files are an open substitute, UCLA CNP (METHODS 3.7), for a pool that was not released; results on it
    are not those of the papers. A subject has one grey-matter map, by the user's own VBM; its mean density in each
    of 64^3 cells of a cube around the template is clipped to [0, 1] and stored in 255 steps, whatever other maps
    hold.

    Of the participants, CONTROL and SCHZ are kept. `_raw/cnp.py` says in which columns the totals of SANS and SAPS
    are looked for; the site is the scanner, by its serial number, and no factor where only one is known.

    The synthetic volumes are one real brain, nilearn's template, deformed anew for each subject.

    `variant=standard` puts each subject in one part, every diagnosis of every site in its share. There is no
    `variant=official`.
    """

    name = "schizophrenia_mri"
    title = "Schizophrenia MRI: healthy / schizophrenia with SANS and SAPS"
    modality = "3-D brain MRI, grey matter (synthetic: a real template, deformed), 32x32x32"
    licence = (
        "Real: see the page of ds000030. Synthetic: made from the ICBM 152 nonlinear symmetric template of 2009 in "
        "nilearn; copyright 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological "
        "Institute, McGill University; may be used, changed and passed on for any purpose without fee, with this "
        "notice. (nilearn itself states the template's licence as unknown.) Cite Fonov et al. 2011."
    )
    obtain = (
        "Open substitute for the papers' unreleased pool: download ds000030 (UCLA CNP: 130 healthy, "
        "50 schizophrenia) from https://openneuro.org/datasets/ds000030 with its phenotype/ folder to "
        "DIR/ds000030/, compute modulated grey-matter maps (VBM, e.g. CAT12) from the T1w images to "
        "DIR/ds000030/derivatives/cat12/, and name DIR with --data-root."
    )
    steps = (
        "Download the T1w images (sub-*/anat/sub-*_T1w.nii.gz, 3 GB) of ds000030 from "
        "https://openneuro.org/datasets/ds000030 to DIR/ds000030/.",
        "Segment them with CAT12 (https://neuro-jena.github.io/cat), its output being the modulated, normalised "
        "grey matter (mwp1*.nii), unsmoothed.",
        "Move the maps to DIR/ds000030/derivatives/cat12/sub-XXXXX/, one for each subject. (Maps in "
        "sub-XXXXX/anat/mri/, where CAT12 leaves them, serve as well, as do sub-XXXXX/anat/sub-XXXXX*_GM.nii.gz "
        "and, unmodulated, the grey-matter probabilities in MNI space in derivatives/fmriprep/sub-XXXXX/anat/.)",
    )
    files = (cnp.PARTICIPANTS, *cnp.SCALES.values(), cnp.MAPS)
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

    def synthetic(self, n: int, seed: int, part: str, wear: np.ndarray | None = None) -> Rendered:
        """Render n volumes, x uint8 (n, 1, 32, 32, 32) as (z, y, x); symptom scores are NaN on background."""
        subjects = brain.draw_subjects(n, numpy_stream(seed, part, "subjects")).wearing(wear)
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

    def recipe(self, root: Path) -> Recipe:
        """List the subjects who have a map; a group is a subject.

        Raises:
            DataMissing: a table or every map is missing, or a table is damaged.
            UserError: the variant is official.

        """
        if self.variant == "official":
            raise UserError(
                f"'{self.name}' has no variant=official, because no code was released for this data set; "
                "use variant=standard."
            )
        people = cnp.read_participants(root, self.obtain)
        table = people[people["diagnosis"].isin(list(DIAGNOSES))].reset_index(drop=True)
        left_out = {"participants with another diagnosis": len(people) - len(table)}
        if table.empty:
            raise DataMissing(f"{root / cnp.PARTICIPANTS.path} lists nobody with the diagnosis CONTROL or SCHZ.")
        table["raw_map"] = cnp.find_maps(root, table["id"], self.obtain)
        left_out["subjects without a grey-matter map"] = int(table["raw_map"].isna().sum())
        table = table.dropna(subset="raw_map").reset_index(drop=True)
        table["target"] = table["diagnosis"].map(DIAGNOSES).astype(np.int64)
        table["diagnosis"] = table["target"].astype(float)
        sources = {root / cnp.PARTICIPANTS.path}
        for scale in cnp.SCALES:
            scores, source = cnp.read_scores(root, scale, table["id"], self.obtain)
            table[scale] = np.where(table["target"] == 1, scores, np.nan)
            sources.add(source)
        factors = self._with_sites(table)
        strata = table["target"] * (table["site"].nunique() + 1) + table["site"].fillna(-1)
        table["part"] = grouped_split(table["group"].to_numpy(), strata.to_numpy(), self.data_seed, self.name)
        return Recipe(
            table[["id", "part", "target", "group", "raw_map", *(factor.name for factor in factors)]],
            (1, SIDE, SIDE, SIDE),
            factors,
            {reason: count for reason, count in left_out.items() if count},
            tuple(sorted(source.relative_to(root).as_posix() for source in sources)),
        )

    def reader(self, root: Path, table: pd.DataFrame) -> Reader:
        """Read each map as (1, z, y, x), z upwards, y to the front, x to the right; all must share one grid."""
        grid = common_grid(root / path for path in table["raw_map"])

        def read(row: Any) -> np.ndarray:
            density = read_cube(root / row.raw_map, grid, SIDE)
            if not 0 < density.max() <= LARGEST:
                raise Unreadable(f"its largest value is {density.max():g}, which is no density of grey matter")
            return np.asarray(np.rint(density[None] / FULL * 255).clip(0, 255), np.uint8)

        return read

    def _with_sites(self, table: pd.DataFrame) -> tuple[Factor, ...]:
        """Number the sites of a table in sorted order, and return the factors."""
        sites = sorted(table["site"].dropna().unique())
        table["site"] = table["site"].map({site: float(k) for k, site in enumerate(sites)}).astype(float)
        classes = {"site": tuple(sites)}
        factors = (replace(f, classes=classes.get(f.name, f.classes)) for f in self.factors)
        return tuple(factor for factor in factors if factor.name != "site" or len(sites) > 1)
