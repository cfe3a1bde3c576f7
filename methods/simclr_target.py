"""SimCLR on the target alone: what a salient code holds if nobody asks it to leave out what is common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from cabench.codes import Batch
from cabench.method import Settings
from cabench.methods._contrastive import PAPER, TwoViews, no_code
from cabench.train import Draws, Terms


@dataclass(kw_only=True, eq=False)
class SimCLRTarget(TwoViews):
    """SimCLR (METHODS 2.13) on the target rows of each batch; the background reaches no part of the training."""

    name = "simclr_target"
    title = "SimCLR on the target only"
    paper = "Chen et al., ICML 2020, arXiv:2002.05709"
    kind = "contrastive"
    supervision = "domain"
    replayed = True
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {"*": {"epochs": 62}, "schizophrenia_mri": {"epochs": 70}},
        "converged": {"schizophrenia_mri": {"epochs": 140}},
        "paper": PAPER,
    }

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return alignment and uniformity of two views of the target rows; exact zeros for fewer than two."""
        target = batch.x[batch.groups[1]]
        if len(target) < 2:  # BatchNorm has nothing to measure
            nothing = sum((0.0 * p.sum() for p in self.networks_.parameters()), batch.y.new_zeros(()))
            return {"alignment": (nothing, 1.0), "uniformity": (nothing, 1.0)}
        terms: Terms = self.contrast(self.two_views(target, draws))
        return terms

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return nothing common, and the representation."""
        code = self.networks_["encoder"](x)
        return no_code(code), code
