"""A method that keeps every rule of `cabench.testing`; tests break it in one place at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cabench.augment.views import canvas, whole
from cabench.codes import Codes
from cabench.errors import UserError
from cabench.method import Context, Method
from cabench.params import choice, count, weight
from cabench.seeds import numpy_stream


@dataclass(kw_only=True, eq=False)
class Honest(Method):
    """Random projections of the pixels, and of their difference from the mean background."""

    name = "honest"
    title = "Random projections"
    paper = ""
    kind = "linear"
    supervision = "domain"
    settings = {"smoke": {"*": {"common_dim": 2}}}

    common_dim: int = count(4)
    salient_dim: int = count(4)
    origin: str = choice("zero", "background")
    shrinkage: float = weight(0.5, most=1.0)  # of a background origin

    def fit(self, train, validation=None, context=Context()):
        """Draw the projections."""
        if len(set(train.y)) < 2:
            raise UserError("'honest' needs background and target images.")
        self.shape_ = [train.x.shape[1], *[canvas(train).size] * (train.x.ndim - 2)]
        pixels = self._pixels(train.x)
        rng = numpy_stream(context.seed, "init")
        self.common_ = rng.normal(size=(pixels.shape[1], self.common_dim)).astype(np.float32)
        self.salient_ = rng.normal(size=(pixels.shape[1], self.salient_dim)).astype(np.float32)
        self.origin_ = np.zeros(pixels.shape[1], np.float32)
        if self.origin == "background":
            self.origin_ += (1 - self.shrinkage) * pixels[train.y == 0].mean(0)
        return self

    def embed(self, x):
        """Project."""
        pixels = self._pixels(x)
        return Codes(pixels @ self.common_, (pixels - self.origin_) @ self.salient_)

    def decode(self, codes):
        """Draw something."""
        pixels = codes.common @ self.common_.T + codes.salient @ self.salient_.T
        return pixels.reshape(-1, *self.shape_).clip(0, 1)

    def swap(self, background, target):
        """Exchange the salient codes."""
        b, t = self.embed(background), self.embed(target)
        return self.decode(Codes(b.common, t.salient)), self.decode(Codes(t.common, b.salient))

    def _pixels(self, x):
        return whole(torch.from_numpy(x), self.shape_[1]).flatten(1).numpy()
