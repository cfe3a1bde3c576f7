"""A method whose codes are wrong in the way that its parameter names."""

from __future__ import annotations

import numpy as np

from cabench.codes import Codes
from cabench.method import Context, Method


class Wrong(Method):
    """Returns NaN, too few rows, or no Codes at all."""

    name = "wrong"
    title = "Wrong codes"
    paper = ""
    kind = "reference"
    supervision = "none"

    def __init__(self, *, how: str = "nan") -> None:
        self.how = how

    def fit(self, train, validation=None, context=Context()):
        """Learn nothing."""
        return self

    def embed(self, x):
        """Return something wrong."""
        good = np.zeros((len(x), 2), np.float32)
        if self.how == "tuple":
            return good, good
        return Codes(good, good[:-1] if self.how == "rows" else good + np.nan)
