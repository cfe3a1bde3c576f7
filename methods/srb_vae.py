"""sRB-VAE: a reference-based VAE, whose background images share one learned salient code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, whole
from cabench.codes import SPACES, Batch, Split
from cabench.method import Settings
from cabench.nets.batchnorm import still_statistics
from cabench.nets.decoder import Decoder
from cabench.nets.discriminator import ImageCodeDiscriminator
from cabench.nets.encoder import encoder
from cabench.nets.strided import Strided
from cabench.params import choice, rate, weight
from cabench.train import Draws, Player, Terms
from cabench.vae import Gaussian, Generative

SIDE, CORNER = 64, 4  # of the native images, and of the smallest map
WIDTHS = (32, 64, 128, 256)
FEATURES = 64  # of an image, and hidden units, in a discriminator of the matched track
DISCRIMINATORS = ("discriminator_background", "discriminator_target")


class Reference(nn.Module):
    """The learned salient code of all background images, a parameter, so that it is trained, moved and saved (R2).

    Shape: n -> (n, dim).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.rand(dim))

    def forward(self, n: int) -> Tensor:
        """Return the code n times."""
        return self.vector.expand(n, -1)


@dataclass(frozen=True)
class Joint:
    """Images (n, channels, ...) with their codes: those of data by the encoder, or those drawn by the decoder."""

    images: Tensor
    c: Tensor
    s: Tensor


@dataclass(kw_only=True, eq=False)
class SRBVAE(Generative):
    """Ruiz, Martinez, Binefa and Verbeek, 2019, arXiv:1901.08534: METHODS 2.8.

    A discriminator per group learns the log-ratio l of the decoder's joint of images and codes to the encoder's.
    All terms are means over the images of the batch, each with its group's; errors are summed over pixels or units.
    One draw of the prior serves the joint and the error of its codes. BatchNorm sees data and drawn images apart,
    and keeps the running statistics of the data.

    Args:
        objective: "adversarial" trains the discriminators by an optimiser of their own, against the model, which
            minimises the symmetric divergence: -l on data and l on drawn images. "official_joint" minimises the
            cross-entropy of the discriminators over all parameters, as released: the model helps them (R1).
        adversarial_weight: weight of the log-ratios, or of the cross-entropy.
        latent_weight: weight of the squared error of the codes that drawn images are drawn from.
        discriminator_rate: learning rate of the discriminators of the adversarial objective.
    """

    name = "srb_vae"
    title = "sRB-VAE"
    paper = "Ruiz et al., 2019, arXiv:1901.08534"
    kind = "generative"
    supervision = "domain"
    replayed = True
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {
            "*": {"epochs": 6, "batch_size": 64, "adversarial_weight": 0.1},
            "schizophrenia_mri": {"epochs": 8},
        },
        "converged": {
            "chexpert_subtypes": {"epochs": 24},
            "cifar_mnist": {"epochs": 48},
            "dsprites_grid": {"epochs": 12},
            "odir_subtypes": {"epochs": 12},
            "schizophrenia_mri": {"epochs": 16},
        },
        "paper": {
            # The rate is Adam's default, as released; beyond CelebA nothing else is published.
            "*": {"backbone": "resnet18", "epochs": 250, "batch_size": 512, "learning_rate": 1e-3},
            # As the authors of MM-cVAE ran it.
            "celeba_accessories": {"common_dim": 16, "salient_dim": 6, "epochs": 100, "batch_size": 128},
            "schizophrenia_mri": {"backbone": "small"},
        },
    }

    objective: str = choice("adversarial", "official_joint")
    adversarial_weight: float = weight(1.0)
    latent_weight: float = weight(1.0)
    discriminator_rate: float = rate(1e-3)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return encoders, decoder, the reference and a discriminator per group.

        Raises:
            UserError: the images' side does not fit the networks.
        """
        reference = {"reference": Reference(self.salient_dim)}
        if self.track == "native":
            return self.native_networks(view) | reference
        dims = self.code_sizes()
        networks: dict[str, nn.Module] = {space: self.encoder(space, view, outputs=2) for space in SPACES}
        networks["decoder"] = Decoder(self.backbone, view, dims[1])
        for name, dim in zip(DISCRIMINATORS, dims, strict=True):
            head = nn.Sequential(nn.Linear(FEATURES + dim, FEATURES), nn.ReLU(), nn.Linear(FEATURES, 1))
            networks[name] = ImageCodeDiscriminator(encoder(self.backbone, view, FEATURES), head)
        return networks | reference

    def code_sizes(self) -> tuple[int, int]:
        """Return the size of the codes that a background image has, and of those that a target has."""
        return self.common_dim, self.common_dim + self.salient_dim

    def players(self) -> list[Player]:
        """Return the model, after the discriminators if they are its adversaries."""
        if self.objective == "official_joint":
            return super().players()
        model = tuple(name for name in self.networks_ if name not in DISCRIMINATORS)
        return [
            Player("discriminator", DISCRIMINATORS, self.discriminator_loss, self.discriminator_rate),
            Player("model", model, self.training_loss, self.learning_rate),
        ]

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the adversarial terms and the squared errors of images and codes."""
        target = batch.y == 1
        data, drawn = self.of_data(batch, draws), self.of_prior(target, draws)
        rebuilt = self.generate(data.c, data.s)
        return {
            **self.adversarial_terms(data, drawn, batch.groups),
            "reconstruction": ((rebuilt - data.images).square().flatten(1).sum(1).mean(), 1.0),
            "latent": (self.latent_error(drawn, target, draws), self.latent_weight),
        }

    def discriminator_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the cross-entropy of telling the joints apart, both held still."""
        target = batch.y == 1
        with torch.no_grad():
            data, drawn = self.of_data(batch, draws), self.of_prior(target, draws)
        return {"cross_entropy": (self.cross_entropy(data, drawn, batch.groups), 1.0)}

    def adversarial_terms(self, data: Joint, drawn: Joint, groups: tuple[Tensor, Tensor]) -> Terms:
        """Return what the model minimises beside the errors: data move the encoder, drawn images the decoder."""
        if self.objective == "official_joint":
            return {"cross_entropy": (self.cross_entropy(data, drawn, groups), self.adversarial_weight)}
        return {
            "ratio_data": (-self.log_ratios(data, groups).mean(), self.adversarial_weight),
            "ratio_drawn": (self.log_ratios(drawn, groups).mean(), self.adversarial_weight),
        }

    def cross_entropy(self, data: Joint, drawn: Joint, groups: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of the discriminators: 0 is data, 1 is drawn."""
        return (F.softplus(self.log_ratios(data, groups)) + F.softplus(-self.log_ratios(drawn, groups))).mean()

    def log_ratios(self, joint: Joint, groups: tuple[Tensor, Tensor]) -> Tensor:
        """Return the log-ratios (n,), background rows first; those are judged without their salient code."""
        of_background, of_target = (self.networks_[name] for name in DISCRIMINATORS)
        background, target = groups
        both = torch.cat([joint.c, joint.s], 1)
        ratios = of_background(joint.images[background], joint.c[background])
        return torch.cat([ratios, of_target(joint.images[target], both[target])])

    def of_data(self, batch: Batch, draws: Draws) -> Joint:
        """Return images with samples of their codes; background images have the reference."""
        x = whole(batch.x, self.canvas_.size)
        common, salient = self.posteriors(x)
        c, s = common.sample(draws.noise), salient.sample(draws.noise)
        return Joint(x, c, self.with_reference(s, batch.y == 1))

    def of_prior(self, target: Tensor, draws: Draws) -> Joint:
        """Return drawn images, as many of each group as in the batch, with their codes from the prior N(0, 1)."""
        noise = torch.randn(len(target), self.code_sizes()[1], generator=draws.noise, device=target.device)
        c, s = noise[:, : self.common_dim], self.with_reference(noise[:, self.common_dim :], target)
        with still_statistics(self.networks_["decoder"]):
            return Joint(self.generate(c, s), c, s)

    def with_reference(self, s: Tensor, target: Tensor) -> Tensor:
        """Return salient codes (n, d_s) with the reference in the background rows."""
        return torch.where(target[:, None], s, self.null_code(len(s)))

    def latent_error(self, drawn: Joint, target: Tensor, draws: Draws) -> Tensor:
        """Return the squared error of the codes read from drawn images; of a background image, the common one."""
        with still_statistics(self.networks_):
            common, salient = self.posteriors(drawn.images)
        of_c = (common.sample(draws.noise) - drawn.c).square().sum(1)
        of_s = (salient.sample(draws.noise) - drawn.s).square().sum(1)
        return (of_c + of_s * target).mean()

    def posteriors(self, x: Tensor) -> tuple[Gaussian, Gaussian]:
        """Return the common and the salient posterior of images."""
        if self.track == "matched":
            return Gaussian.of(self.networks_["common"](x)), Gaussian.of(self.networks_["salient"](x))
        both = Gaussian.of(self.networks_["encoder"](x))
        dim = self.common_dim
        common = Gaussian(both.mean[:, :dim], both.logvar[:, :dim])
        return common, Gaussian(both.mean[:, dim:], both.logvar[:, dim:])

    def null_code(self, n: int) -> Tensor:
        """Return the reference n times (n, d_s)."""
        out: Tensor = self.networks_["reference"](n)
        return out

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior means; the salient one is not replaced by the reference for background."""
        common, salient = self.posteriors(x)
        return common.mean, salient.mean

    def native_side(self, stored: int) -> int:
        """Return the published side."""
        return SIDE

    def native_networks(self, view: Canvas) -> dict[str, nn.Module]:
        """Return the networks that the authors of MM-cVAE released: one trunk reads both codes.

        Their discriminators add a score of the image and one of the codes: they cannot see which belong together.
        """
        convolutions = Strided(view.axes, norm=True, slope=0.2)
        _, both = self.code_sizes()
        flat = WIDTHS[-1] * CORNER**view.axes
        networks: dict[str, nn.Module] = {
            "encoder": nn.Sequential(
                *convolutions.down(view.channels, *WIDTHS),
                nn.Flatten(),
                nn.Linear(flat, 2 * both),  # the two published heads side by side
            ),
            "decoder": nn.Sequential(
                nn.Linear(both, flat),
                convolutions.activation(),
                convolutions.unflatten(WIDTHS[-1], CORNER),
                *convolutions.up(*reversed(WIDTHS)),
                *convolutions.image(WIDTHS[0], view.channels),
            ),
        }
        features = WIDTHS[-2] * (2 * CORNER) ** view.axes
        for name, dim in zip(DISCRIMINATORS, self.code_sizes(), strict=True):
            trunk = nn.Sequential(*convolutions.down(view.channels, *WIDTHS[:-1]), nn.Flatten())
            networks[name] = ImageCodeDiscriminator(trunk, nn.Linear(features + dim, 1))
        return networks
