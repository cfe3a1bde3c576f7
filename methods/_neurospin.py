"""What ConVAE and SepVAE share: networks and total correlation of the code that the authors of SepVAE released."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas
from cabench.codes import Batch, Split
from cabench.losses.density_ratio import mean_logit
from cabench.nets.discriminator import code_discriminator
from cabench.nets.strided import Strided
from cabench.params import choice, count, rate, weight
from cabench.train import Draws, Player, Terms
from cabench.vae import ContrastiveVAE, Latents, with_discriminator

# Image side -> widths of the convolutions that halve it down to 4, of the one down to 1, and of the decoder.
WIDTHS = {
    32: ((32, 32, 32), 256, (32, 32, 32)),  # CIFAR-10 + MNIST
    64: ((32, 32, 64, 128), 256, (128, 64, 32, 32)),  # CelebA, pneumonia
    128: ((32, 32, 64, 128, 256), 512, (512, 256, 128, 64, 32)),  # BraTS
}


# What every VAE of the release is run with on CIFAR-10 + MNIST.
PUBLISHED: dict[str, Any] = {
    "backbone": "resnet18",
    "common_dim": 64,
    "salient_dim": 64,
    "epochs": 250,
    "batch_size": 512,
    "learning_rate": 1e-3,
    "common_beta": 0.5,
    "salient_beta": 0.5,
    "optimizer_reset_epochs": 1,
}


@dataclass(kw_only=True, eq=False)
class TotalCorrelationVAE(ContrastiveVAE):
    """METHODS 2.9 without what is SepVAE's own: the total correlation is measured on all rows, with s not zeroed.

    Args:
        tc_weight: weight kappa of the total correlation, the mean logit of a discriminator of joint codes.
        tc_clip: where the estimate is cut off at 0: in each "sample" as published, which is biased upwards (P3), in
            the "batch_mean", or nowhere ("none").
        discriminator_rate: learning rate of the discriminator.
        optimizer_reset_epochs: Adam forgets its moments after so many epochs; 0 = never, published is 1 (P1).
    """

    tc_weight: float = weight(1.0)
    tc_clip: str = choice("sample", "batch_mean", "none")
    discriminator_rate: float = rate(1e-3)
    optimizer_reset_epochs: int = count(0, least=0)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return encoders, decoder and the discriminator of codes."""
        networks = super().build(train, view)
        networks["discriminator"] = code_discriminator(self.common_dim + self.salient_dim)
        return networks

    def players(self) -> list[Player]:
        """Return the discriminator, then the model."""
        return with_discriminator(self, self.discriminator_rate, target_only=False)

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the evidence and the total correlation."""
        z = self.latents(batch, draws)
        return self.evidence(z) | {"total_correlation": (self.total_correlation(z), self.tc_weight)}

    def total_correlation(self, z: Latents) -> Tensor:
        """Return the estimate of KL(q(c, s) || q(c) q(s)), a scalar."""
        discriminator = self.networks_["discriminator"]
        if self.tc_clip == "sample":
            return F.relu(discriminator(torch.cat([z.c, z.s], 1))).mean()
        estimate = mean_logit(discriminator, z.c, z.s)
        return F.relu(estimate) if self.tc_clip == "batch_mean" else estimate

    def native_side(self, stored: int) -> int:
        """Return the largest published side that the stored images fill, or the smallest one."""
        return max((side for side in WIDTHS if side <= stored), default=min(WIDTHS))

    def native_networks(self, view: Canvas) -> dict[str, nn.Module]:
        """Return the networks of METHODS 2.9, without BatchNorm."""
        return {
            "common": _encoder(view, self.common_dim),
            "salient": _encoder(view, self.salient_dim),
            "decoder": _decoder(view, self.common_dim + self.salient_dim),
        }


def _encoder(view: Canvas, dim: int) -> nn.Module:
    halving, top, _ = WIDTHS[view.size]
    convolutions = Strided(view.axes)
    hidden = top if view.size == min(WIDTHS) else 2 * dim
    return nn.Sequential(
        *convolutions.down(view.channels, *halving),
        *replace(convolutions, stride=1, padding=0).down(halving[-1], top),
        nn.Flatten(),
        nn.Linear(top, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 2 * dim),  # the two published heads side by side
    )


def _decoder(view: Canvas, dim: int) -> nn.Module:
    _, top, doubling = WIDTHS[view.size]
    convolutions = Strided(view.axes)
    # Only the network of side 32 has a second linear layer.
    second = [nn.Linear(top, top), nn.ReLU()] if view.size == min(WIDTHS) else []
    return nn.Sequential(
        nn.Linear(dim, top),
        nn.ReLU(),
        *second,
        convolutions.unflatten(top, side=1),
        *replace(convolutions, stride=1, padding=0).up(top, doubling[0]),
        *convolutions.up(*doubling),
        *convolutions.image(doubling[-1], view.channels),
    )
