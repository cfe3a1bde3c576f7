"""A method that goes wrong in the way that its parameter names, unless the environment says that it is well."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from cabench.codes import Codes
from cabench.method import Context, Method


class Faulty(Method):
    """Is killed, sleeps for ever, or takes a gigabyte."""

    name = "faulty"
    title = "Goes wrong"
    paper = ""
    kind = "reference"
    supervision = "none"

    def __init__(self, *, how: str = "killed") -> None:
        self.how = how

    def fit(self, train, validation=None, context=Context()):
        """Go wrong."""
        if "FAULTY_IS_WELL" in os.environ:
            return self
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        held = np.ones(2**27) if self.how == "greedy" else None
        time.sleep(600)
        return held

    def embed(self, x):
        """Return the first pixels."""
        code = x.reshape(len(x), -1)[:, :2].astype(np.float32)
        return Codes(code, code)
