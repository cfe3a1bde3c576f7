"""Codes of zeros: every probe must score exactly chance."""

from __future__ import annotations

from typing import Self

import numpy as np

from cabench.codes import Codes, Split
from cabench.method import Context, Method


class Constant(Method):
    """The test of the pipeline: what scores above chance here is a bug of the harness."""

    name = "constant"
    title = "Zeros"
    paper = ""
    kind = "reference"
    supervision = "none"
    role = "floor"

    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Learn nothing."""
        return self

    def embed(self, x: np.ndarray) -> Codes:
        """Return zeros."""
        zeros = np.zeros((len(x), 1), np.float32)
        return Codes(zeros, zeros)
