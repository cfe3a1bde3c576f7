"""An untrained encoder pair: what the architecture alone gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from cabench.augment.views import Canvas, whole
from cabench.codes import Batch, Split
from cabench.method import Context, Settings
from cabench.nets.encoder import encoder
from cabench.params import choice, count
from cabench.train import EMBED_ROWS, Draws, LightningMethod, Terms


@dataclass(kw_only=True, eq=False)
class RandomEncoders(LightningMethod):
    """Two encoders at their initialisation, their BatchNorm calibrated by one pass over train (METHODS 2.13).

    Args:
        common_dim: size of the common code.
        salient_dim: size of the salient code.
        backbone: of the encoders.
    """

    name = "random"
    title = "Untrained encoder pair"
    paper = ""
    kind = "reference"
    supervision = "none"
    role = "floor"
    needs_both_groups = False
    settings: ClassVar[Settings] = {
        "paper": {"*": {"backbone": "resnet18"}, "schizophrenia_mri": {"backbone": "small"}}
    }
    epochs = 0

    common_dim: int = count(32)
    salient_dim: int = count(32)
    backbone: str = choice("small", "resnet18")

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return two encoders."""
        return {
            "common": encoder(self.backbone, view, self.common_dim),
            "salient": encoder(self.backbone, view, self.salient_dim),
        }

    @torch.no_grad()
    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Calibrate the running statistics of BatchNorm."""
        super().fit(train, validation, context)
        norms = [m for m in self.networks_.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the pass
        self.networks_.train()
        # In equal parts: a last part of one image would leave BatchNorm nothing to measure.
        for rows in np.array_split(train.x, math.ceil(len(train) / EMBED_ROWS)):
            self.encode(whole(torch.from_numpy(rows).to(context.device), self.canvas_.size))
        self.networks_.eval()
        return self

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return nothing: the budget is 0 epochs."""
        return {}

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two codes."""
        return self.networks_["common"](x), self.networks_["salient"](x)
