"""One encoder trained to tell the groups apart: how much of the salient factors comes with y alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, views
from cabench.codes import Batch, Split
from cabench.method import Settings
from cabench.methods._contrastive import OneEncoder, no_code
from cabench.nets.encoder import encoder
from cabench.train import Draws, Terms


@dataclass(kw_only=True, eq=False)
class SupervisedY(OneEncoder):
    """Cross-entropy of y; the salient code is the layer before the classifier (METHODS 2.13, `sup_y`)."""

    name = "supervised_y"
    title = "Supervised on the group alone"
    paper = ""
    kind = "reference"
    supervision = "domain"
    replayed = True
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {"*": {"epochs": 70}, "schizophrenia_mri": {"epochs": 74}},
        # Nothing is published: the budget of the supervised ceiling.
        "paper": {
            "*": {"backbone": "resnet18", "epochs": 100, "batch_size": 512, "learning_rate": 1e-3},
            "schizophrenia_mri": {"backbone": "small"},
        },
    }

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return one encoder and a linear classifier."""
        return {"encoder": encoder(self.backbone, view, self.dim), "classifier": nn.Linear(self.dim, 1)}

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the cross-entropy of y from one view."""
        view = views(batch.x, self.canvas_.augmentation, draws.augmentation)
        logits = self.networks_["classifier"](self.penultimate(view))[:, 0]
        return {"cross_entropy": (F.binary_cross_entropy_with_logits(logits, batch.y.to(logits.dtype)), 1.0)}

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return nothing common, and the layer before the classifier."""
        code = self.penultimate(x)
        return no_code(code), code

    def penultimate(self, x: Tensor) -> Tensor:
        """Return the layer before the classifier (n, dim) of images in [0, 1]."""
        return F.relu(self.networks_["encoder"](x))
