"""A domain-adversarial code: one common code that an adversary cannot tell the groups from, and no salient one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, views
from cabench.codes import Batch, Split
from cabench.method import Settings
from cabench.methods._contrastive import PAPER, TwoViews, no_code
from cabench.params import count, rate, weight
from cabench.train import Draws, Player, Terms

HIDDEN = 128


@dataclass(kw_only=True, eq=False)
class DANN(TwoViews):
    """Ganin et al., JMLR 17(59), 2016, equations 9 to 11, with SimCLR's loss in the place of class labels.

    The adversary minimises the cross-entropy of y from c, the encoder minimises its own loss minus that: the saddle
    point of the paper, as two players rather than by a layer that reverses gradients. Independence of y is
    all that this asks of c; what varies within the target may stay.

    Args:
        adversary_weight: weight of the adversary's cross-entropy (lambda of the paper, here without its ramp).
        adversary_rate: learning rate of the adversary.
        adversary_steps: its steps per batch; with one it falls behind the encoder.
    """

    name = "dann"
    title = "SimCLR against an adversary on the group"
    paper = "Ganin et al., JMLR 2016, arXiv:1505.07818"
    kind = "reference"
    supervision = "domain"
    replayed = True
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {"*": {"adversary_rate": 1e-2}, "schizophrenia_mri": {"epochs": 17}},
        "converged": {"chexpert_subtypes": {"epochs": 80}, "odir_subtypes": {"epochs": 40}},
        "paper": PAPER,
    }

    adversary_weight: float = weight(1.0)
    adversary_rate: float = rate(4e-3)
    adversary_steps: int = count(3)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return encoder, projector and adversary."""
        networks: dict[str, nn.Module] = super().build(train, view)
        return networks | {"adversary": adversary(self.dim)}

    def players(self) -> list[Player]:
        """Return the adversary and the model."""
        return [
            Player(
                "adversary",
                ("adversary",),
                self.adversary_loss,
                self.adversary_rate,
                steps=self.adversary_steps,
            ),
            Player("model", ("encoder", "head"), self.training_loss, self.learning_rate),
        ]

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return alignment and uniformity of two views, and the adversary's cross-entropy on both, to be raised."""
        codes = self.two_views(batch.x, draws)
        misled = (self.cross_entropy(codes[0], batch.y) + self.cross_entropy(codes[1], batch.y)) / 2
        terms: Terms = self.contrast(codes)
        return terms | {"adversary": (misled, -self.adversary_weight)}

    def adversary_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the cross-entropy of y from the code of one view."""
        with torch.no_grad():
            code = self.networks_["encoder"](views(batch.x, self.canvas_.augmentation, draws.augmentation))
        return {"cross_entropy": (self.cross_entropy(code, batch.y), 1.0)}

    def cross_entropy(self, code: Tensor, y: Tensor) -> Tensor:
        """Return the adversary's mean cross-entropy of groups y (n,) from codes (n, dim)."""
        logits = self.networks_["adversary"](code)[:, 0]
        return F.binary_cross_entropy_with_logits(logits, y.to(logits.dtype))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the representation, and nothing salient."""
        code = self.networks_["encoder"](x)
        return code, no_code(code)


def adversary(dim: int) -> nn.Sequential:
    """Return two hidden layers from a code (n, dim), standardised first, to a logit (n, 1).

    Without that the encoder can escape by shrinking what tells the groups apart, which any probe that
    standardises reads as well as before.
    """
    return nn.Sequential(
        nn.BatchNorm1d(dim, affine=False),
        nn.Linear(dim, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, 1),
    )
