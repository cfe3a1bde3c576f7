"""SimCLR on all images: one code for both spaces, the corner of no separation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from cabench.codes import Batch
from cabench.method import Settings
from cabench.methods._contrastive import PAPER, TwoViews
from cabench.train import Draws, Terms


@dataclass(kw_only=True, eq=False)
class SimCLR(TwoViews):
    """Alignment and uniformity on the sphere (Wang and Isola, ICML 2020) as in SepCLR's common term."""

    name = "simclr"
    title = "SimCLR, one code for both spaces"
    paper = "Chen et al., ICML 2020, arXiv:2002.05709"
    kind = "contrastive"
    supervision = "none"
    replayed = True
    role = "floor"
    needs_both_groups = False
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {"*": {"epochs": 35}, "schizophrenia_mri": {"epochs": 34}},
        "paper": PAPER,
    }

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return alignment and uniformity of two views."""
        terms: Terms = self.contrast(self.two_views(batch.x, draws))
        return terms

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the representation twice."""
        code: Tensor = self.networks_["encoder"](x)
        return code, code
