"""A method that knows the toy data: the corner is salient, the rest is common."""

from __future__ import annotations

from cabench.codes import Codes
from cabench.method import Context, Method


class Corner(Method):
    """Reads the corner of the image into s and the rest into c."""

    name = "corner"
    title = "The corner"
    paper = ""
    kind = "reference"
    supervision = "none"

    def __init__(self, *, scale: float = 1.0) -> None:
        self.scale = scale

    def fit(self, train, validation=None, context=Context()):
        """Learn nothing."""
        return self

    def embed(self, x):
        """Cut the image."""
        corner = x[:, :, :2, :2].reshape(len(x), -1) * self.scale
        return Codes(x[:, :, 2:].reshape(len(x), -1).astype("float32"), corner.astype("float32"))
