"""Where an owner's file lies, and the sentences for one that is missing or damaged."""

from __future__ import annotations

from pathlib import Path

from cabench.dataset import RawFile
from cabench.errors import DataMissing


def located(root: Path, file: RawFile, obtain: str) -> Path:
    """Return the first of a raw file's places below `root` where something lies.

    Args:
        root: the data root.
        file: what the owners distribute.
        obtain: the sentence that says how to get it.

    Raises:
        DataMissing: nothing lies in any of its places.

    """
    here = file.locate(root)
    if here is not None:
        return here
    others = f" (nor is there {', '.join(file.alternatives)})" if file.alternatives else ""
    raise DataMissing(f"{root / file.path} is missing{others}. {obtain}")


def damaged(path: Path, why: object, obtain: str) -> DataMissing:
    """Return the error for a file that lies there and cannot be used.

    Args:
        path: the file.
        why: what is wrong with it.
        obtain: the sentence that says how to get it anew.

    """
    return DataMissing(f"{path} is damaged ({why}); remove it and get it anew. {obtain}")
