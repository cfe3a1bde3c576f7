"""What the references with a single encoder share, and the contrastive loss of those that learn from two views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, views
from cabench.codes import Split
from cabench.losses.pairwise import alignment, uniformity
from cabench.nets.encoder import encoder
from cabench.nets.head import projector
from cabench.params import choice, count, rate
from cabench.train import Draws, LightningMethod, Terms

# SimCLR's budget in the paper tier, and that of its relatives, for which nothing is published.
PAPER: dict[str, dict[str, Any]] = {
    "*": {"backbone": "resnet18", "epochs": 250, "batch_size": 512, "learning_rate": 3e-4},
    "schizophrenia_mri": {"backbone": "small"},
}


@dataclass(kw_only=True, eq=False)
class OneEncoder(LightningMethod):
    """A trained method of one encoder.

    Args:
        dim: size of the code.
        backbone: of the encoder.
        epochs: budget.
        batch_size: rows per step.
        learning_rate: of Adam, with warm-up and cosine.
    """

    dim: int = count(32)
    backbone: str = choice("small", "resnet18")
    epochs: int = count(20)
    batch_size: int = count(256, least=4)
    learning_rate: float = rate(4e-3)


@dataclass(kw_only=True, eq=False)
class TwoViews(OneEncoder):
    """An encoder with a projector, trained to give two views of an image the same place on the sphere."""

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return one encoder and its projector."""
        return {"encoder": encoder(self.backbone, view, self.dim), "head": projector(self.dim)}

    def two_views(self, x: Tensor, draws: Draws) -> list[Tensor]:
        """Return the codes (n, dim) of two random views of uint8 images (n, channels, ...)."""
        return [
            self.networks_["encoder"](view)
            for view in (views(x, self.canvas_.augmentation, draws.augmentation) for _ in range(2))
        ]

    def contrast(self, codes: list[Tensor]) -> Terms:
        """Return alignment and uniformity of the projected codes of two views, each (n, dim)."""
        first, second = (F.normalize(self.networks_["head"](code), eps=1e-12) for code in codes)
        return {
            "alignment": (alignment(first, second), 1.0),
            "uniformity": (uniformity(first) + uniformity(second), 1.0),
        }


def no_code(code: Tensor) -> Tensor:
    """Return a column of zeros (n, 1): the code of a space that a method does not have, beside one that it has."""
    return code.new_zeros(len(code), 1)
