"""cVAE: the contrastive variational autoencoder."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from cabench.augment.views import Canvas, whole
from cabench.codes import Batch, Split
from cabench.errors import UserError, did_you_mean
from cabench.method import Settings
from cabench.nets.decoder import Decoder
from cabench.nets.encoder import encoder
from cabench.train import Draws, LightningMethod, Terms

LOGVAR_RANGE = 15.0


class CVAE(LightningMethod):
    """Abid and Zou, 2019, arXiv:1902.04601: the loss of METHODS 2.4 with the nets of the matched track.

    Args:
        common_dim: size of the common code.
        salient_dim: size of the salient code.
        beta: weight of the KL terms against the squared error summed over pixels.
        tc: total-correlation term; only "none" so far, which is what tables call cVAE.
        backbone: "small" or "resnet18".
        epochs: budget.
        batch_size: rows per step.
        learning_rate: of Adam, with warm-up and cosine.
    """

    name = "cvae"
    title = "cVAE without total-correlation term"
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

    def __init__(
        self,
        *,
        common_dim: int = 32,
        salient_dim: int = 32,
        beta: float = 1.0,
        tc: str = "none",
        backbone: str = "small",
        epochs: int = 20,
        batch_size: int = 256,
        learning_rate: float = 4e-3,
    ) -> None:
        self.common_dim = common_dim
        self.salient_dim = salient_dim
        self.beta = beta
        self.tc = tc
        self.backbone = backbone
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return two encoders, each to a mean and a log-variance, and a decoder of both codes.

        Raises:
            UserError: `tc` is not "none", or the image side is no multiple of 8.
        """
        if self.tc != "none":
            raise UserError(
                f"'cvae' has no total-correlation term '{self.tc}' yet.{did_you_mean(self.tc, ['none'])}"
            )
        return {
            "common": encoder(self.backbone, view, 2 * self.common_dim),
            "salient": encoder(self.backbone, view, 2 * self.salient_dim),
            "decoder": Decoder(self.common_dim + self.salient_dim, view),
        }

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the squared error summed over pixels and the KL terms, both as means over the batch."""
        x = whole(batch.x, self.canvas_.size)
        target = batch.y.to(x.dtype)
        common, salient = self._posterior("common", x), self._posterior("salient", x)
        c, s = sample(*common, draws.noise), sample(*salient, draws.noise)
        decoded = self.networks_["decoder"](torch.cat([c, s * target[:, None]], 1))
        return {
            "reconstruction": ((decoded - x).square().flatten(1).sum(1).mean(), 1.0),
            "kl_common": (kl_to_standard(*common).mean(), self.beta),
            "kl_salient": ((kl_to_standard(*salient) * target).mean(), self.beta),
        }

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior means; the salient one is not zeroed for background."""
        return self._posterior("common", x)[0], self._posterior("salient", x)[0]

    def _posterior(self, space: str, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = self.networks_[space](x).float().chunk(2, dim=1)
        return mean, logvar.clamp(-LOGVAR_RANGE, LOGVAR_RANGE)


def sample(mean: Tensor, logvar: Tensor, generator: torch.Generator) -> Tensor:
    """Return mean + sigma * noise, all of shape (n, d)."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean + (logvar / 2).exp() * noise


def kl_to_standard(mean: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mean, exp logvar) || N(0, 1)) summed over dimensions, one value per row (n,)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)
