"""A method that fails while it trains."""

from __future__ import annotations

from cabench.codes import Codes
from cabench.method import Context, Method


class Raising(Method):
    """Raises in fit."""

    name = "raising"
    title = "Raises"
    paper = ""
    kind = "reference"
    supervision = "none"

    def fit(self, train, validation=None, context=Context()):
        """Fail."""
        raise RuntimeError("the optimiser diverged")

    def embed(self, x):
        """Never reached."""
        return Codes(x, x)
