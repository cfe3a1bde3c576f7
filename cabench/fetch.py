"""Raw files: which are here, how to get the others, and fetching: mirrors in order, broken transfers resumed.

A file appears under its name when it is complete and verified.

The transfer is not pooch's, whose downloads go into a temporary file that a break removes, so that they cannot
resume. The checksums are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cabench.errors import DataMissing, UserError

if TYPE_CHECKING:
    from cabench.dataset import Dataset, RawFile

CHUNK = 1 << 16
TIMEOUT = 60  # seconds without a byte
Progress = Callable[[int, int | None], None]  # (bytes here, bytes in all if the server says so)


class Refused(Exception):
    """What a mirror sends is not the file; says why."""


def fault(file: RawFile, root: Path) -> str:
    """Return what is wrong with a raw file below the data root, "" if it is here and intact as far as one can tell.

    An alternative, and a file whose owner publishes no checksum, only has to be here.
    """
    here = file.locate(root)
    if here is None:
        return "is missing"
    if here != root / file.path or not here.is_file():
        return ""
    wrong = mismatch(here, file.checksum)
    return f"is damaged ({wrong})" if wrong else ""


def mismatch(path: Path, checksum: str) -> str:
    """Return "" if a file has the checksum ("sha256:...", "md5:...", or "" for any), else what it has instead."""
    if not checksum:
        return ""
    import pooch

    kind, _, expected = checksum.partition(":")
    got = pooch.file_hash(str(path), kind)
    return "" if got == expected.lower() else f"expected {kind}:{expected}, got {kind}:{got}"


def ways(dataset: Dataset, lacking: Iterable[RawFile]) -> str:
    """Return how to get files of a data set: the command, and the owner's numbered steps to those without urls."""
    fetched, gated = [[file for file in lacking if bool(file.urls) is free] for free in (True, False)]
    said = [f"Run `cabench data fetch {dataset.name}`."] if fetched else []
    if gated and dataset.steps:
        lines = [f"  {i}. {step}" for i, step in enumerate(dataset.steps, 1)]
        said.append("\n".join([f"Only you can get {', '.join(file.path for file in gated)}:", *lines]))
    elif gated:
        said.append(dataset.obtain)
    return " ".join(said)


def status(dataset: Dataset, root: Path) -> dict[str, Any]:
    """Return as JSON values which raw files of a data set are below `root` and which variants are prepared."""
    from cabench.dataset import VARIANTS

    found = {file: file.locate(root) for file in dataset.files}
    lacking = [file for file, path in found.items() if path is None]
    prepared = {}
    for variant in VARIANTS:
        twin = copy.copy(dataset)
        twin.variant = variant
        prepared[variant] = _preparation(twin, root)
    return {
        "name": dataset.name,
        "licence": dataset.licence,
        "files": [{"path": file.path, "found": str(path) if path else None} for file, path in found.items()],
        "prepared": prepared,
        "missing": [file.path for file in lacking],
        "get": ways(dataset, lacking),
    }


def _preparation(dataset: Dataset, root: Path) -> str:
    from cabench.prepared import is_current, prepared_folder, verify

    folder = prepared_folder(dataset, root)
    if not folder.exists():
        return "no"
    try:
        verify(folder)
    except DataMissing:
        return "damaged"
    return "yes" if is_current(dataset, folder) else "out of date"


def fetch(file: RawFile, root: Path, progress: Progress = lambda *_: None) -> Path:
    """Fetch a raw file from the first mirror that has it, unless it is here and intact, and return its path.

    A broken transfer stays in `FILE.part`, and the next mirror or call goes on where it stopped. A file without a
    checksum starts anew, because nothing would tell whether two pieces belong together.

    Args:
        file: with at least one url.
        root: the data root.
        progress: called with (bytes here, bytes in all, or None where the server does not say).

    Raises:
        DataMissing: no mirror gives the file; says why for each.
        UserError: nothing can be written below the root.

    """
    import requests
    import urllib3
    from filelock import FileLock

    path = root / file.path
    part = path.with_name(path.name + ".part")
    reasons = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes must not write one .part; the second finds the file.
        with FileLock(root / ".fetch.lock"):
            if path.exists() and not fault(file, root):
                return path
            for url in file.urls:
                try:
                    _receive(url, part, file.checksum, progress)
                    _approve(part, file)
                    part.replace(path)
                    return path
                except (Refused, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                    reasons.append(f"{url}: {_reason(error)}")
    except OSError as error:
        raise UserError(
            f"{path} could not be written ({error.strerror or error}); free space, or name another --data-root."
        ) from error
    hint = "the same command goes on where this stopped" if file.checksum and part.exists() else "try again later"
    raise DataMissing(f"{path} could not be fetched ({'; '.join(reasons)}); {hint}.")


def _receive(url: str, part: Path, checksum: str, progress: Progress) -> None:
    """Append to `part` what is still missing of it, or write it anew if the server knows no ranges."""
    import requests

    have = part.stat().st_size if checksum and part.exists() else 0
    # A server that compresses on the way would make sizes and ranges mean something else.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:  # nothing is left to send; the checksum says whether that is right
            return
        answer.raise_for_status()
        if "text/html" in answer.headers.get("Content-Type", "") and not part.name.endswith(".html.part"):
            raise Refused("it sends a web page instead of the file")
        if answer.status_code != 206:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as out:
            # The raw stream, because requests would unpack a .gz that its server declares as an encoding.
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                out.write(chunk)
                have += len(chunk)
                progress(have, total)
    if total is not None and have < total:
        raise Refused(f"the connection broke after {have} of {total} bytes")


def _approve(part: Path, file: RawFile) -> None:
    """Remove a complete download that is not the file, and say why."""
    with part.open("rb") as content:
        head = content.read(256).lstrip().lower()
    page = head.startswith((b"<!doctype html", b"<html")) and not file.path.endswith(".html")
    wrong = "it sends a web page instead of the file" if page else mismatch(part, file.checksum)
    if wrong:
        part.unlink()
        raise Refused(wrong)


def _reason(error: Exception) -> str:
    import requests
    import urllib3

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.RequestException):
        return f"no connection, {type(error).__name__}"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "the connection broke"
    return str(error)
