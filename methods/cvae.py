"""cVAE: the contrastive variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from cabench.augment.views import Canvas
from cabench.codes import Batch, Split
from cabench.losses.density_ratio import dependence_loss, mean_logit
from cabench.method import Settings
from cabench.nets.discriminator import code_discriminator
from cabench.params import choice, rate, weight
from cabench.train import Draws, Player, Terms
from cabench.vae import ContrastiveVAE


@dataclass(kw_only=True, eq=False)
class CVAE(ContrastiveVAE):
    """Abid and Zou, 2019, arXiv:1902.04601: METHODS 2.4.

    Args:
        tc: the total-correlation term on target rows. "none" is what tables call cVAE; "adversarial" trains a
            discriminator of joint against shuffled codes by its own optimiser; "official_joint" minimises both
            losses of a linear discriminator over all parameters, as released, which cancels at `tc_weight` 1 (V2, V3).
        tc_weight: weight of the total-correlation term.
        discriminator_rate: learning rate of the adversarial discriminator.
    """

    name = "cvae"
    title = "cVAE"
    paper = "Abid and Zou, 2019, arXiv:1902.04601"
    kind = "generative"
    supervision = "domain"
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 100}},
        "quick": {"*": {"epochs": 40}},
        "paper": {
            "*": {"backbone": "resnet18", "epochs": 250, "batch_size": 512, "learning_rate": 1e-3},
            "schizophrenia_mri": {"backbone": "small"},
        },
    }

    tc: str = choice("none", "adversarial", "official_joint")
    tc_weight: float = weight(1.0)
    discriminator_rate: float = rate(1e-3)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return encoders, decoder and the discriminator of codes, if there is a total-correlation term."""
        networks, dim = super().build(train, view), self.common_dim + self.salient_dim
        if self.tc == "adversarial":
            networks["discriminator"] = code_discriminator(dim)
        elif self.tc == "official_joint":
            networks["discriminator"] = nn.Linear(dim, 1)
        return networks

    def players(self) -> list[Player]:
        """Return the model, after its adversary if it has one."""
        if self.tc != "adversarial":
            return super().players()
        model = tuple(name for name in self.networks_ if name != "discriminator")
        return [
            Player("discriminator", ("discriminator",), self.discriminator_loss, self.discriminator_rate),
            Player("model", model, self.training_loss, self.learning_rate),
        ]

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the evidence and the total correlation: the mean logit of target rows' codes."""
        z = self.latents(batch, draws)
        terms = self.evidence(z)
        if self.tc == "none":
            return terms
        discriminator, rows = self.networks_["discriminator"], z.target > 0
        terms["total_correlation"] = (mean_logit(discriminator, z.c[rows], z.s[rows]), self.tc_weight)
        if self.tc == "official_joint":
            loss = dependence_loss(discriminator, z.c[rows], z.s[rows], draws.noise)
            terms["discriminator"] = (loss, 1.0)
        return terms

    def discriminator_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the cross-entropy of telling codes of one image from codes of two."""
        with torch.no_grad():
            z = self.latents(batch, draws)
        rows = z.target > 0
        loss = dependence_loss(self.networks_["discriminator"], z.c[rows], z.s[rows], draws.noise)
        return {"cross_entropy": (loss, 1.0)}

    def native_networks(self, view: Canvas) -> dict[str, nn.Module]:
        """Return ..."""
        raise NotImplementedError
