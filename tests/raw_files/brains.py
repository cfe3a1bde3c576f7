"""UCLA CNP as OpenNeuro distributes ds000030, with grey-matter maps as CAT12 writes them."""

import nibabel
import numpy as np

COLUMNS = (
    "participant_id", "diagnosis", "age", "gender", "bart", "bht", "dwi", "pamenc", "pamret", "rest", "scap",
    "stopsignal", "T1w", "taskswitch", "ScannerSerialNumber", "ghost_NoGhost",
)  # fmt: skip
SCANNERS = ("35343", "35426")
RATED = {  # in the owners' tables columns stand in no order
    "sans": ("alogia", "bluntaffect", "avolition", "attention", "anhedonia"),
    "saps": ("posformalthought", "hallucinations", "inappaffect", "delusions", "bizarrebehav"),
}
SHAPE = (14, 18, 14)  # of CAT12's template in voxels of 1.5 mm: 113x137x113
AFFINE = np.array([[-1.5, 0, 0, 10], [0, 1.5, 0, -14], [0, 0, 1.5, -8], [0, 0, 0, 1]])  # x to the left


def person(number, diagnosis="CONTROL", age=30, gender="F", scanner=SCANNERS[0], **more):
    """A row of participants.tsv; "n/a" is what the owners write for what they do not know."""
    row = dict.fromkeys(COLUMNS, "1") | {"ghost_NoGhost": "No_ghost"}
    row |= {"participant_id": f"sub-{number}", "diagnosis": diagnosis, "age": age, "gender": gender}
    return row | {"ScannerSerialNumber": scanner} | more


def ratings(scale, value="n/a", **more):
    """The columns of one subject in a symptom table: an item, ratings and factor scores."""
    row = {f"{scale}1": value}
    for domain in RATED[scale]:
        row |= {f"factor_{domain}": value, f"global_{domain}": value}
    return row | more


def write_tsv(path, rows, columns=None):
    """Write rows, dictionaries with the same keys."""
    columns = columns or list(rows[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, columns)), *("\t".join(str(row[c]) for c in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_brains(root, people, scores=None, place="derivatives/cat12/{0}/mri/mwp1{0}_T1w.nii.gz", pixels=True):
    """Write a tree of ds000030 below the root.

    `scores` is what is rated: (scale, participant) -> columns; schizophrenia has ratings of 2 by default, and
    the others "n/a". `place` is where a map lies; None writes none. Without `pixels` the maps are empty files.
    """
    folder = root / "ds000030"
    write_tsv(folder / "participants.tsv", people)
    for scale in RATED:
        rows = []
        for row in people:
            name = row["participant_id"]
            default = ratings(scale, 2 if row["diagnosis"] == "SCHZ" else "n/a")
            rows.append({"participant_id": name} | (scores or {}).get((scale, name), default))
        write_tsv(folder / "phenotype" / f"{scale}.tsv", rows)
    for row in people if place else ():
        name = row["participant_id"]
        path = folder / place.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels:
            write_map(path, brain(int(name.removeprefix("sub-"))))
        else:
            path.touch()


def brain(number):
    """A density (x to the left, y, z): 0.6 on the subject's left, 0.3 on the right, a full block at the top."""
    density = np.zeros(SHAPE)
    density[2:7, 3:-3, 2:-2] = 0.3
    density[7:12, 3:-3, 2:-2] = 0.6
    density[5:9, 4:8, -4:-2] = 1.2
    density[5:9, -8:-5, 3:6] = number % 50 / 100
    return density


def write_map(path, density, affine=AFFINE, code=4, dtype=np.float32):
    """Write a NIfTI file whose header points with this affine into the space with this code (4 = MNI)."""
    image = nibabel.Nifti1Image(density.astype(dtype), affine)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    nibabel.save(image, path)
