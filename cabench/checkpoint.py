"""Where an interrupted fit goes on: its state at the end of the last epoch, in one file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from cabench.clock import Clock
from cabench.store import write_bytes

CHECKPOINT_FILE = "checkpoint.pt"  # in a run's folder


class Checkpoint:
    """The state of one fit on disk, and the time that all its attempts took.

    Args:
        path: the file.
        key: what must be the same for a state to be taken up: code, device.

    Attributes:
        path: the file.
        clock: runs since the fit began, with what earlier attempts took up to the state that was taken up.
        resumed: the number of epochs with which each later attempt began.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self._key = path, key
        self.clock = Clock()
        self.resumed: list[int] = []

    def read(self) -> dict[str, Any] | None:
        """Return the last state, or None: there is none, it is damaged, or other code wrote it."""
        import torch

        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            if kept["key"] != self._key:
                return None
            state: dict[str, Any] = kept["state"]
            self.clock, self.resumed = Clock(kept["spent"]), [*kept["resumed"], kept["epoch"]]
        except Exception:  # a file that somebody else made can fail in any way; the fit then starts from nothing
            return None
        return state

    def write(self, epoch: int, state: dict[str, Any]) -> None:
        """Replace the state, in one step.

        Args:
            epoch: the number of finished epochs.
            state: tensors, numbers, texts, and lists and dicts of these.

        Raises:
            NotWritten: the folder is read-only or full.
        """
        import torch

        content = io.BytesIO()
        about = {"key": self._key, "epoch": epoch, "spent": self.clock.spent(), "resumed": self.resumed}
        torch.save(about | {"state": state}, content)
        write_bytes(self.path, content.getvalue())

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)
