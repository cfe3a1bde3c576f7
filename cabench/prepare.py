"""Raw files -> prepared files: pixels as one uint8 array on disk, labels as parquet, a manifest with hashes.

A prepared folder is whole or absent: everything is written into `NAME.partial`, which is renamed at the end.
A killed preparation goes on where it stopped, and ends with the same manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cabench.errors import DataMissing, UserError
from cabench.prepared import (
    LABELS,
    MANIFEST,
    PARTS,
    PIXELS,
    SCHEMA_VERSION,
    discard,
    is_current,
    lock_file,
    partial_folder,
    prepared_folder,
    sha256,
)

if TYPE_CHECKING:
    import pandas as pd

    from cabench.codes import Factor
    from cabench.dataset import Dataset, Reader, Recipe

CHUNK_BYTES = 8 << 20  # of pixels; what a kill can cost
# A preparation stops when more than this share of the images cannot be read.
UNREADABLE_SHARE = 0.01
JOURNAL = "journal.jsonl"
Progress = Callable[[int, int], None]  # (images done, images in all)


def prepare(
    dataset: Dataset,
    root: Path,
    jobs: int | None = None,
    progress: Progress = lambda *_: None,
    force: bool = False,
) -> Path:
    """Prepare a data set below `root` unless that is done, and return the folder.

    Args:
        dataset: with its variant and data seed.
        root: the data root: raw files are read there, prepared ones are written to `root/prepared/`.
        jobs: threads that decode images; None for one per core.
        progress: called with (images done, images in all).
        force: prepare what is done once more; the earlier files stay until the new ones are whole.

    Raises:
        UserError: raw files are missing or damaged, too many images are unreadable, or nothing can be written.

    """
    from filelock import FileLock

    folder = prepared_folder(dataset, root)
    if is_current(dataset, folder) and not force:
        return folder
    recipe = dataset.recipe(root)
    _check(recipe, dataset.name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_file(folder)):
            if force or not is_current(dataset, folder):
                _write(dataset, recipe, root, folder, jobs or os.cpu_count() or 1, progress)
    except OSError as error:
        raise UserError(
            f"{folder} could not be written ({error.strerror or error}); "
            "free space, or name another --data-root with the raw files linked into it."
        ) from error
    return folder


def _check(recipe: Recipe, name: str) -> None:
    """Hold a recipe to its contract: a broken one is a bug of the data set, an empty or leaking one is said."""
    table = recipe.table
    if table.empty:
        raise DataMissing(f"'{name}' keeps no image of these files ({_reasons(recipe.left_out)}).")
    if table["id"].duplicated().any():
        raise DataMissing(f"'{name}' lists the image {table.loc[table['id'].duplicated(), 'id'].iloc[0]} twice.")
    if not table["part"].isin(PARTS).all():
        raise AssertionError(f"the recipe of '{name}' names a part that is none of {', '.join(PARTS)}")
    for part in PARTS:
        here = table[table["part"] == part]
        if set(here["target"]) != {0, 1}:
            counts = " and ".join(str((here["target"] == group).sum()) for group in (0, 1))
            raise DataMissing(
                f"'{name}' needs background and target images in {part}, and these files give {counts}."
            )
    if not recipe.shares_groups and (table.groupby("group")["part"].nunique() > 1).any():
        raise AssertionError(f"the recipe of '{name}' puts one group on two sides")


def _write(dataset: Dataset, recipe: Recipe, root: Path, folder: Path, jobs: int, progress: Progress) -> None:
    import pandas as pd

    table = recipe.table.assign(part=pd.Categorical(recipe.table["part"], PARTS))
    table = table.sort_values("part", kind="stable").reset_index(drop=True).astype({"part": str})
    partial = partial_folder(folder)
    # Chunks may only be kept if they were read by this recipe, in these rows, from these files.
    files = [(name, (root / name).stat().st_size, (root / name).stat().st_mtime_ns) for name in recipe.sources]
    text = f"{dataset.recipe_version} {recipe.shape} {CHUNK_BYTES} {files} {table.to_csv(index=False)}"
    plan = hashlib.sha256(text.encode()).hexdigest()
    done = _resume(partial, plan, len(table), recipe.shape)
    unreadable = _decode(dataset.reader(root, table), table, recipe.shape, partial, done, jobs, progress)
    if len(unreadable) > UNREADABLE_SHARE * len(table):
        first, why = next(iter(unreadable.items()))
        raise DataMissing(
            f"{len(unreadable)} of {len(table)} images of '{dataset.name}' cannot be read, more than "
            f"{UNREADABLE_SHARE:.0%}; the first is {first}: {why}. Restore them and prepare again."
        )
    if unreadable:
        keep = ~table["id"].isin(list(unreadable)).to_numpy()
        _compact(partial / PIXELS, keep)
        table = table[keep]
    columns = [name for name in table.columns if not name.startswith("raw_")]
    table[columns].to_parquet(partial / LABELS, index=False)
    manifest = _manifest(dataset, recipe, table, root, unreadable)
    manifest["files"] = {
        name: {"bytes": (partial / name).stat().st_size, "sha256": sha256(partial / name)}
        for name in (PIXELS, LABELS)
    }
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    (partial / JOURNAL).unlink()
    discard(folder)
    partial.rename(folder)


def _manifest(
    dataset: Dataset, recipe: Recipe, table: pd.DataFrame, root: Path, unreadable: dict[str, str]
) -> dict[str, Any]:
    splits = {}
    for part in PARTS:
        here = table[table["part"] == part]
        ids = "\n".join(here["id"])
        cells = {f.name: _counts(here[f.name], f) for f in recipe.factors if f.classes}
        splits[part] = {
            "images": len(here),
            "background": int((here["target"] == 0).sum()),
            "target": int((here["target"] == 1).sum()),
            "groups": int(here["group"].nunique()),
            "counts": cells,
            "ids_sha256": hashlib.sha256(ids.encode()).hexdigest(),
        }
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": dataset.name,
        "variant": dataset.variant,
        "data_seed": dataset.data_seed,
        "recipe_version": dataset.recipe_version,
        "shape": list(recipe.shape),
        "factors": [asdict(factor) for factor in recipe.factors],
        "shares_groups": recipe.shares_groups,
        "splits": splits,
        "left_out": recipe.left_out,
        "unreadable": unreadable,
        "sources": {name: sha256(root / name) for name in recipe.sources},
    }


def _counts(column: pd.Series, factor: Factor) -> dict[str, int]:
    assert factor.classes
    counts = {name: int((column == k).sum()) for k, name in enumerate(factor.classes)}
    return counts | {"missing": int(column.isna().sum())}


def _resume(partial: Path, plan: str, n: int, shape: tuple[int, ...]) -> dict[int, dict[str, str]]:
    """Return chunk -> unreadable images of what an earlier call of the same plan finished; else start anew.

    Chunks with unreadable images are read again, because the user may have restored these.
    """
    try:
        first, *lines = (partial / JOURNAL).read_text(encoding="utf-8").splitlines()
        # The pixels are fewer if the kill came after the unreadable ones had been dropped.
        whole = np.load(partial / PIXELS, mmap_mode="r").shape == (n, *shape)
        if whole and json.loads(first) == {"plan": plan}:
            return {chunk: bad for chunk, bad in dict(_entries(lines)).items() if not bad}
    except (OSError, ValueError, EOFError):
        pass
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    np.lib.format.open_memmap(partial / PIXELS, "w+", np.uint8, (n, *shape)).flush()
    (partial / JOURNAL).write_text(json.dumps({"plan": plan}) + "\n", encoding="utf-8")
    return {}


def _entries(lines: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:  # the line that was being written when the process was killed
            continue
        yield entry["chunk"], entry["unreadable"]


def _decode(
    read: Reader,
    table: pd.DataFrame,
    shape: tuple[int, ...],
    partial: Path,
    done: dict[int, dict[str, str]],
    jobs: int,
    progress: Progress,
) -> dict[str, str]:
    """Read every chunk that is not done, several at once, and return the unreadable images with their reason."""
    size = int(np.prod(shape))
    rows = max(1, CHUNK_BYTES // size)
    chunks = range(-(-len(table) // rows))
    lock, finished = threading.Lock(), sum(min(rows, len(table) - k * rows) for k in done)
    header = (partial / PIXELS).stat().st_size - len(table) * size

    with (partial / PIXELS).open("r+b") as pixels, (partial / JOURNAL).open("a", encoding="utf-8") as journal:

        def work(chunk: int) -> None:
            nonlocal finished
            part = table.iloc[chunk * rows : (chunk + 1) * rows]
            block, bad = _read_chunk(read, part, shape)
            with lock:
                _write_block(pixels, header + chunk * rows * size, block)
                done[chunk] = bad
                # The journal follows the pixels, so that no line speaks of bytes that are not there.
                journal.write(json.dumps({"chunk": chunk, "unreadable": bad}) + "\n")
                journal.flush()
                finished += len(part)
                progress(finished, len(table))

        with ThreadPoolExecutor(jobs) as pool:
            tasks = [pool.submit(work, chunk) for chunk in chunks if chunk not in done]
            try:
                for task in tasks:
                    task.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return {name: why for chunk in sorted(done) for name, why in done[chunk].items()}


def _read_chunk(read: Reader, part: pd.DataFrame, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[str, str]]:
    from cabench.dataset import Unreadable

    block, bad = np.zeros((len(part), *shape), np.uint8), {}
    for i, row in enumerate(part.itertuples(index=False)):
        try:
            image = read(row)
            if image.shape != shape or image.dtype != np.uint8:
                raise Unreadable(f"it has shape {image.shape} and type {image.dtype}, not {shape} and uint8")
            block[i] = image
        except Unreadable as error:
            bad[str(row.id)] = str(error)
        except OSError as error:
            why = f"The image {row.id} could not be read ({error}); restore it and prepare again."
            raise DataMissing(why) from error
    return block, bad


def _write_block(file: BinaryIO, offset: int, block: np.ndarray) -> None:
    file.seek(offset)
    file.write(block.tobytes())
    file.flush()
    os.fsync(file.fileno())


def _compact(path: Path, keep: np.ndarray) -> None:
    """Drop the rows of an array on disk that are not kept, without holding it in memory."""
    old = np.load(path, mmap_mode="r")
    smaller = path.with_suffix(".smaller")
    header = np.lib.format.header_data_from_array_1_0(old) | {"shape": (int(keep.sum()), *old.shape[1:])}
    # Not through a memory map, which a full disk turns into a crash.
    with smaller.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for row in np.flatnonzero(keep):
            file.write(old[row].tobytes())
    del old
    smaller.replace(path)


def _reasons(left_out: dict[str, int]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in left_out.items()) or "the tables are empty"
