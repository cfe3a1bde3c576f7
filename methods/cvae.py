"""cVAE: the contrastive variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from cabench.augment.views import Canvas
from cabench.codes import Batch, Split
from cabench.losses.density_ratio import dependence_loss, mean_logit
from cabench.method import Settings
from cabench.nets.discriminator import code_discriminator
from cabench.nets.strided import Strided
from cabench.params import choice, rate, weight
from cabench.train import Draws, Player, Terms
from cabench.vae import ContrastiveVAE, with_discriminator

SIDE, CORNER = 28, 7  # of the native images, and of the smallest map
ENCODER_WIDTHS, DECODER_WIDTHS, HIDDEN = (32, 64), (16, 8), 128


@dataclass(kw_only=True, eq=False)
class CVAE(ContrastiveVAE):
    """Abid and Zou, 2019, arXiv:1902.04601: METHODS 2.4.

    Args:
        tc: the total-correlation term on target rows. "none" is what tables call cVAE; "adversarial" trains a
            discriminator of joint against shuffled codes by its own optimiser; "official_joint" minimises both
            losses of a linear discriminator over all parameters, as released: they cancel at `tc_weight` 1 (V3).
        tc_weight: weight of the total-correlation term.
        discriminator_rate: learning rate of the adversarial discriminator.
    """

    name = "cvae"
    title = "cVAE"
    paper = "Abid and Zou, 2019, arXiv:1902.04601"
    kind = "generative"
    supervision = "domain"
    replayed = True
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {
            "*": {"epochs": 28, "common_beta": 0.5, "salient_beta": 0.5},
            "schizophrenia_mri": {"epochs": 34},
        },
        "converged": {
            "chexpert_subtypes": {"epochs": 56},
            "cifar_mnist": {"epochs": 224},
            "dsprites_grid": {"epochs": 56},
            "schizophrenia_mri": {"epochs": 68},
        },
        "paper": {
            # The rate is Adam's default, as released; beyond CelebA nothing else is published.
            "*": {"backbone": "resnet18", "epochs": 250, "batch_size": 512, "learning_rate": 1e-3},
            # As the authors of MM-cVAE ran it on these accessories; its own ones had codes of 2 and RMSprop.
            "celeba_accessories": {"common_dim": 16, "salient_dim": 6, "epochs": 100, "batch_size": 128},
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
        return with_discriminator(self, self.discriminator_rate, target_only=True)

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the evidence and the total correlation, which only target rows have."""
        z = self.latents(batch, draws)
        terms = self.evidence(z)
        if self.tc == "none":
            return terms
        discriminator, rows = self.networks_["discriminator"], z.groups[1]
        # A mean over the batch like every other term: as published, an image counts the same in each.
        share = z.target.mean()
        logit = mean_logit(discriminator, z.c[rows], z.s[rows])
        terms["total_correlation"] = (share * logit, self.tc_weight)
        if self.tc == "official_joint":
            loss = dependence_loss(discriminator, z.c[rows], z.s[rows], draws.noise)
            terms["discriminator"] = (share * loss, 1.0)
        return terms

    def native_side(self, stored: int) -> int:
        """Return the published side."""
        return SIDE

    def native_networks(self, view: Canvas) -> dict[str, nn.Module]:
        """Return the networks that the authors released for CelebA, the widths of the decoder as in the release."""
        convolutions = Strided(view.axes, kernel=3)
        top = ENCODER_WIDTHS[-1]
        flat = top * CORNER**view.axes

        def encoder(dim: int) -> nn.Module:
            return nn.Sequential(
                *convolutions.down(view.channels, *ENCODER_WIDTHS),
                nn.Flatten(),
                nn.Linear(flat, HIDDEN),
                nn.ReLU(),
                nn.Linear(HIDDEN, 2 * dim),  # the two published heads side by side
            )

        decoder = nn.Sequential(
            nn.Linear(self.common_dim + self.salient_dim, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, flat),
            nn.ReLU(),
            convolutions.unflatten(top, CORNER),
            *convolutions.up(top, *DECODER_WIDTHS),
            *replace(convolutions, stride=1).image(DECODER_WIDTHS[-1], view.channels),
        )
        return {"common": encoder(self.common_dim), "salient": encoder(self.salient_dim), "decoder": decoder}
