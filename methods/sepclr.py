"""SepCLR: contrastive separation of common and salient patterns, with k-JEM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, views
from cabench.codes import Batch, Split
from cabench.losses.pairwise import alignment, joint_entropy, uniformity
from cabench.method import Settings
from cabench.nets.head import projector
from cabench.params import weight
from cabench.train import Draws, EncoderPair, Terms


@dataclass(kw_only=True, eq=False)
class SepCLR(EncoderPair):
    """Louiset, Duchesnay, Grigis, Gori, ICLR 2024, arXiv:2402.11928; the formulas are those of METHODS 2.1.

    Args:
        common_weight: weight of the common alignment and uniformity.
        salient_weight: weight of the salient alignment and uniformity.
        null_weight: weight of the information-less term, which pulls background salient codes to 0.
        joint_entropy_weight: weight of k-JEM; 0 leaves it out.
    """

    name = "sepclr"
    title = "SepCLR with k-JEM"
    paper = "Louiset et al., ICLR 2024, arXiv:2402.11928"
    kind = "contrastive"
    supervision = "domain"
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 100}},
        "quick": {
            "*": {"joint_entropy_weight": 20.0},
            "cifar_mnist": {"joint_entropy_weight": 10.0},
            "dsprites_grid": {"joint_entropy_weight": 30.0},
            "schizophrenia_mri": {"joint_entropy_weight": 17.0, "epochs": 26},
        },
        "paper": {
            "*": {
                "backbone": "resnet18",
                "epochs": 250,
                "batch_size": 512,
                "learning_rate": 3e-4,
                "salient_weight": 1000.0,
                "null_weight": 1000.0,
            },
            "celeba_accessories": {"batch_size": 256, "common_dim": 16, "salient_dim": 16},
            "chexpert_subtypes": {
                "batch_size": 256,
                "epochs": 200,
                "salient_weight": 1.0,
                "null_weight": 10.0,
            },
            "odir_subtypes": {"batch_size": 256, "epochs": 200, "salient_weight": 1.0, "null_weight": 100.0},
            "schizophrenia_mri": {"backbone": "small"},
        },
    }

    common_weight: float = weight(1.0)
    salient_weight: float = weight(1.0)
    null_weight: float = weight(10.0)
    joint_entropy_weight: float = weight(10.0)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return two separate encoders with their projectors: nothing is shared."""
        return {
            "common": self.encoder("common", view),
            "common_head": projector(self.common_dim),
            "salient": self.encoder("salient", view),
            "salient_head": projector(self.salient_dim),
        }

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Draw two views of each image and return the four terms of METHODS 2.1, the first two in halves."""
        common, salient = [], []
        for _ in range(2):
            view = views(batch.x, self.canvas_.augmentation, draws.augmentation)
            common.append(F.normalize(self.networks_["common_head"](self.networks_["common"](view)), eps=1e-12))
            salient.append(self.networks_["salient_head"](self.networks_["salient"](view)))
        terms = sepclr_terms((common[0], common[1]), (salient[0], salient[1]), batch.y)
        weights = {
            "alignment_common": self.common_weight,
            "uniformity_common": self.common_weight,
            "alignment_salient": self.salient_weight,
            "uniformity_salient": self.salient_weight,
            "null": self.null_weight,
            "joint_entropy": self.joint_entropy_weight,
        }
        return {name: (terms[name], weight) for name, weight in weights.items()}

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the representations, before the projectors."""
        return self.networks_["common"](x), self.networks_["salient"](x)


def sepclr_terms(common: tuple[Tensor, Tensor], salient: tuple[Tensor, Tensor], y: Tensor) -> dict[str, Tensor]:
    """Return the raw terms of METHODS 2.1: both halves of L_com and of L_sal, then L_null and L_jem.

    Uniformity is summed over the two views: it counts twice, as published.

    Args:
        common: normalised common heads of the two views, each (n, d_c).
        salient: salient heads of the two views, each (n, d_s), not normalised.
        y: groups (n,); background rows are put onto the information-less point 0 in the pairwise terms.
    """
    target = y.to(salient[0].dtype)
    zeroed = [s * target[:, None] for s in salient]
    origin = torch.zeros_like(salient[0])
    nulls = [alignment(s, origin, weights=1 - target) for s in salient]
    return {
        "alignment_common": alignment(*common),
        "uniformity_common": uniformity(common[0]) + uniformity(common[1]),
        "alignment_salient": alignment(*salient, weights=target),
        "uniformity_salient": uniformity(zeroed[0]) + uniformity(zeroed[1]),
        "null": (nulls[0] + nulls[1]) / 2,
        "joint_entropy": (joint_entropy(common[0], zeroed[0]) + joint_entropy(common[1], zeroed[1])) / 2,
    }
