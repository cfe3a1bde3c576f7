"""Prepared files: where they lie, whether they are whole, and the splits that they give.

`PIXELS` holds every image, a part's rows together; `LABELS` the table of a recipe without its "raw_" columns;
`MANIFEST` hashes, counts and where all of it comes from.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cabench.codes import TARGET, Factor, Split, Splits
from cabench.errors import DataMissing, UserError
from cabench.seeds import numpy_stream

if TYPE_CHECKING:
    from cabench.dataset import Dataset

SCHEMA_VERSION = 1
PIXELS, LABELS, MANIFEST = "pixels.npy", "labels.parquet", "manifest.json"
PARTS = ("train", "validation", "test")


def prepared_folder(dataset: Dataset, root: Path) -> Path:
    """Return where the prepared files of a data set, variant and data seed lie."""
    return root / "prepared" / dataset.name / f"{dataset.variant}-{dataset.data_seed}"


def partial_folder(folder: Path) -> Path:
    """Return where a preparation is under way, or was interrupted."""
    return folder.with_name(folder.name + ".partial")


def lock_file(folder: Path) -> Path:
    """Return the lock that a preparation holds."""
    return folder.with_name(folder.name + ".lock")


def is_current(dataset: Dataset, folder: Path) -> bool:
    """Return whether a folder was prepared, whole, by the recipe as it is now."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        made_by = (manifest["schema_version"], manifest["recipe_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return made_by == (SCHEMA_VERSION, dataset.recipe_version)


def verify(folder: Path, root: Path | None = None) -> dict[str, Any]:
    """Return the manifest of a prepared folder after checking the files against it.

    Args:
        folder: the prepared folder.
        root: if given, the check is a full one: every byte is hashed, the raw sources below `root` too.
            Otherwise sizes are compared.

    Raises:
        DataMissing: a file is missing, damaged or changed; says which.

    """
    mend = f"prepare it again after removing {folder}"
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {name: manifest["files"][name] for name in (PIXELS, LABELS)}
        sizes = {name: (folder / name).stat().st_size for name in files}
        sources = manifest["sources"].items() if root else ()
        for card in manifest["factors"]:
            _factor(card)
        for part in PARTS:
            sum(manifest["splits"][part][name] for name in ("images", "background", "target", "groups"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataMissing(f"{folder} holds no whole preparation ({error}); {mend}.") from error
    for name, size in sizes.items():
        if size != files[name]["bytes"] or (root and sha256(folder / name) != files[name]["sha256"]):
            raise DataMissing(f"{folder / name} is not what its manifest says; {mend}.")
    for name, digest in sources:
        assert root is not None
        if not (root / name).is_file() or sha256(root / name) != digest:
            raise DataMissing(
                f"{root / name} is missing or has changed since the preparation; restore it, or {mend}."
            )
    return manifest


def load_prepared(dataset: Dataset, folder: Path, tier: str) -> Splits:
    """Return the splits of a prepared folder, pixels mapped from disk.

    The paper tier uses every image; below it a seeded draw keeps at most `dataset.sizes[tier]` of a part, both
    groups in their shares.
    """
    import pandas as pd

    manifest = verify(folder)
    pixels = np.load(folder / PIXELS, mmap_mode="c")
    table = pd.read_parquet(folder / LABELS)
    factors = (*(_factor(card) for card in manifest["factors"]), TARGET)
    splits = {}
    for part, limit in zip(PARTS, dataset.sizes[tier], strict=True):
        rows = np.flatnonzero(table["part"] == part)
        chosen = table.iloc[rows]
        y = chosen["target"].to_numpy(np.int64)
        x = pixels[rows[0] : rows[-1] + 1] if len(rows) else pixels[:0]  # a part's rows lie together
        labels = {f.name: chosen[f.name].to_numpy(np.float64) for f in factors[:-1]} | {"target": y.astype(float)}
        groups = chosen["group"].to_numpy(np.int64)
        if tier != "paper" and len(rows) > limit:
            kept = _draw(y, limit, numpy_stream(dataset.data_seed, dataset.name, "tier", part))
            x, y, groups = x[kept], y[kept], groups[kept]
            labels = {name: column[kept] for name, column in labels.items()}
        splits[part] = Split(x, y, labels, groups, factors, dataset.augmentation, dataset.name)
    return Splits(**splits)


def traces(folder: Path) -> list[Path]:
    """Return what there is of a preparation: its folder, what an interrupted one left, its lock."""
    return [path for path in (folder, partial_folder(folder), lock_file(folder)) if path.exists()]


def remove(folder: Path) -> None:
    """Remove a prepared folder and every other trace of the preparation; raw files are not touched.

    Raises:
        UserError: it is being prepared at this moment, or cannot be removed.

    """
    from filelock import FileLock, Timeout

    if not traces(folder):
        return
    try:
        with FileLock(lock_file(folder), timeout=0):
            discard(folder)
            discard(partial_folder(folder))
            lock_file(folder).unlink(missing_ok=True)
    except Timeout as error:
        raise UserError(f"{folder} is being prepared by another process; try again when that is done.") from error
    except OSError as error:
        raise UserError(f"{folder} could not be removed ({error.strerror or error}).") from error


def discard(folder: Path) -> None:
    """Remove a folder, the manifest first: half of a folder is never taken for a whole one."""
    (folder / MANIFEST).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _factor(card: dict[str, Any]) -> Factor:
    return Factor(**card | {"classes": tuple(card["classes"]) if card["classes"] else None})


def _draw(y: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Return `limit` sorted row numbers with both groups in their shares, at least two rows of each."""
    targets = np.flatnonzero(y == 1)
    wanted = int(np.clip(round(limit * len(targets) / len(y)), 2, limit - 2))
    chosen = [rng.permutation(targets)[:wanted], rng.permutation(np.flatnonzero(y == 0))[: limit - wanted]]
    return np.sort(np.concatenate(chosen))
