"""SimCLR on all images: one code for both spaces, the corner of no separation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, views
from cabench.codes import Batch, Split
from cabench.losses.pairwise import alignment, uniformity
from cabench.method import Settings
from cabench.nets.encoder import encoder
from cabench.nets.head import projector
from cabench.params import choice, count, rate
from cabench.train import Draws, LightningMethod, Terms


@dataclass(kw_only=True, eq=False)
class SimCLR(LightningMethod):
    """Alignment and uniformity on the sphere (Wang and Isola, ICML 2020) as in SepCLR's common term.

    Args:
        dim: size of the code, which stands for both spaces.
        backbone: of the encoder.
        epochs: budget.
        batch_size: rows per step.
        learning_rate: of Adam, with warm-up and cosine.
    """

    name = "simclr"
    title = "SimCLR, one code for both spaces"
    paper = "Chen et al., ICML 2020, arXiv:2002.05709"
    kind = "contrastive"
    supervision = "none"
    role = "floor"
    needs_both_groups = False
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 100}},
        "quick": {"schizophrenia_mri": {"epochs": 26}},
        "paper": {
            "*": {"backbone": "resnet18", "epochs": 250, "batch_size": 512, "learning_rate": 3e-4},
            "schizophrenia_mri": {"backbone": "small"},
        },
    }

    dim: int = count(32)
    backbone: str = choice("small", "resnet18")
    epochs: int = count(20)
    batch_size: int = count(256, least=4)
    learning_rate: float = rate(4e-3)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return one encoder and its projector."""
        return {"encoder": encoder(self.backbone, view, self.dim), "head": projector(self.dim)}

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return alignment and uniformity of two views."""
        heads = [
            F.normalize(self.networks_["head"](self.networks_["encoder"](view)), eps=1e-12)
            for view in (views(batch.x, self.canvas_.augmentation, draws.augmentation) for _ in range(2))
        ]
        return {
            "alignment": (alignment(heads[0], heads[1]), 1.0),
            "uniformity": (uniformity(heads[0]) + uniformity(heads[1]), 1.0),
        }

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the representation twice."""
        code: Tensor = self.networks_["encoder"](x)
        return code, code
