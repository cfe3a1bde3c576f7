"""What the contrastive VAEs share: two Gaussian encoders, one decoder, the terms of the evidence, swaps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from cabench.augment.views import Canvas, canvas, whole
from cabench.codes import Batch, Codes, Split
from cabench.errors import UserError
from cabench.losses.density_ratio import dependence_loss
from cabench.losses.gaussian import kl_to_standard
from cabench.nets.decoder import Decoder
from cabench.params import choice, weight
from cabench.train import EMBED_ROWS, Draws, EncoderPair, Player, Terms

LOGVAR_RANGE = 15.0


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussians, one per row: mean (n, d) and logvar (n, d)."""

    mean: Tensor
    logvar: Tensor

    @classmethod
    def of(cls, output: Tensor) -> Gaussian:
        """Return the Gaussians of a network's output (n, 2 d): means, then log-variances, which are clamped."""
        mean, logvar = output.float().chunk(2, dim=1)
        return cls(mean, logvar.clamp(-LOGVAR_RANGE, LOGVAR_RANGE))

    def sample(self, generator: torch.Generator) -> Tensor:
        """Return mean + sigma * noise (n, d): gradients reach both."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + (self.logvar / 2).exp() * noise

    def kl(self) -> Tensor:
        """Return KL(N(mean, exp logvar) || N(0, 1)) summed over dimensions (n,)."""
        return kl_to_standard(self.mean, self.logvar)

    def w2_to_zero(self) -> Tensor:
        """Return the squared 2-Wasserstein distance to the point 0 (n,): ||mean||^2 + sum of variances."""
        return (self.mean.square() + self.logvar.exp()).sum(1)


@dataclass(frozen=True)
class Latents:
    """A batch on its way through a contrastive VAE.

    Attributes:
        x: images (n, channels, ...) in [0, 1].
        target: 1.0 for target rows, 0.0 for background rows (n,).
        groups: the row numbers of both groups.
        common, salient: posteriors.
        c, s: samples of them; s is not zeroed for background rows.
    """

    x: Tensor
    target: Tensor
    groups: tuple[Tensor, Tensor]
    common: Gaussian
    salient: Gaussian
    c: Tensor
    s: Tensor


@dataclass(kw_only=True, eq=False)
class Generative(EncoderPair):
    """A method that also draws images from codes: `decode` and `swap`.

    Args:
        track: "matched", the encoders and decoder that every method shares, or "native", the method's own.
    """

    track: str = choice("matched", "native")

    def native_side(self, stored: int) -> int:
        """Return the image side of the method's own networks for images stored with a side of `stored`."""
        return stored

    @abstractmethod
    def native_networks(self, view: Canvas) -> dict[str, nn.Module]:
        """Return the method's own networks, among them the "decoder" of both codes to images in [0, 1].

        Those of a `ContrastiveVAE` are "common" and "salient", to mean and logvar, and "decoder".
        """

    def seen(self, train: Split) -> Canvas:
        """Return the data set's own view, or the native networks' side."""
        view = canvas(train)
        if self.track == "matched":
            return view
        size = self.native_side(min(train.x.shape[2:]))
        return replace(view, size=size, augmentation=replace(view.augmentation, size=size))

    def generate(self, c: Tensor, s: Tensor) -> Tensor:
        """Return images (n, channels, side, ...) in [0, 1] of common (n, d_c) and salient codes (n, d_s)."""
        out: Tensor = self.networks_["decoder"](torch.cat([c, s], 1))
        return out

    def null_code(self, n: int) -> Tensor:
        """Return the salient codes (n, d_s) of images with nothing salient: zeros."""
        return torch.zeros(n, self.salient_dim, device=next(self.networks_.parameters()).device)

    @torch.no_grad()
    def decode(self, codes: Codes) -> np.ndarray:
        """Return images (n, channels, side, ...), float32 in [0, 1], of codes as `embed` gives them."""
        self.networks_.eval()
        device = next(self.networks_.parameters()).device
        pieces = []
        for start in range(0, len(codes.common), EMBED_ROWS):
            c, s = (
                torch.from_numpy(code[start : start + EMBED_ROWS]).to(device)
                for code in (codes.common, codes.salient)
            )
            pieces.append(self.generate(c, s).float().cpu().numpy())
        return np.concatenate(pieces)

    @torch.no_grad()
    def swap(self, background: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move what is salient: the background images with the targets' salient code, the targets with none.

        Args:
            background: uint8 images (n, channels, ...).
            target: uint8 images (n, channels, ...), one partner each.

        Returns:
            Two arrays of decoded images as `decode` gives them.

        Raises:
            UserError: there are more images of one group than of the other.
        """
        if len(background) != len(target):
            raise UserError(
                f"A swap pairs images: give as many target images ({len(target)}) as background images "
                f"({len(background)})."
            )
        b, t = self.embed(background), self.embed(target)
        null = self.null_code(len(target)).cpu().numpy()
        return self.decode(Codes(b.common, t.salient)), self.decode(Codes(t.common, null))


@dataclass(kw_only=True, eq=False)
class ContrastiveVAE(Generative):
    """Encoders to Gaussians and a decoder of both codes; background images are decoded with s = 0.

    All terms are means over the images of the batch; the squared error is summed over pixels, a KL over units.

    Args:
        common_beta: weight of the KL of the common code.
        salient_beta: weight of the KL of the salient code, target rows only.
        null_term: "w2" draws the salient posterior of background rows to the point 0, mean and variance, by the
            squared 2-Wasserstein distance (contrastiveVI, Weinberger, Lin and Lee, 2023; METHODS 2.11).
        null_weight: weight of the null term.
    """

    common_beta: float = weight(1.0)
    salient_beta: float = weight(1.0)
    null_term: str = choice("none", "w2")
    null_weight: float = weight(1.0)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return two encoders, each to a mean and a log-variance, and a decoder of both codes.

        Raises:
            UserError: the images' side does not fit the networks.
        """
        if self.track == "native":
            return self.native_networks(view)
        return {
            "common": self.encoder("common", view, outputs=2),
            "salient": self.encoder("salient", view, outputs=2),
            "decoder": Decoder(self.backbone, view, self.common_dim + self.salient_dim),
        }

    def latents(self, batch: Batch, draws: Draws) -> Latents:
        """Return posteriors and samples of a batch."""
        x = whole(batch.x, self.canvas_.size)
        target = batch.y.to(x.dtype)
        common, salient = self.posteriors(x, batch)
        c, s = common.sample(draws.noise), salient.sample(draws.noise)
        return Latents(x, target, batch.groups, common, salient, c, s)

    def posteriors(self, x: Tensor, batch: Batch) -> tuple[Gaussian, Gaussian]:
        """Return the common and the salient posterior of the images (n, channels, ...) of a batch, as trained."""
        return self.posterior("common", x), self.posterior("salient", x)

    def reconstruct(self, z: Latents) -> Tensor:
        """Return a batch decoded from its samples, with s exactly 0 for background rows."""
        return self.generate(z.c, z.s * z.target[:, None])

    def evidence(self, z: Latents) -> Terms:
        """Return the squared error, the KL terms and the null term, if there is one."""
        terms: Terms = {
            "reconstruction": ((self.reconstruct(z) - z.x).square().flatten(1).sum(1).mean(), 1.0),
            "kl_common": (z.common.kl().mean(), self.common_beta),
            "kl_salient": ((z.salient.kl() * z.target).mean(), self.salient_beta),
        }
        if self.null_term == "w2":
            terms["null"] = ((z.salient.w2_to_zero() * (1 - z.target)).mean(), self.null_weight)
        return terms

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior means; the salient one is not zeroed for background."""
        return self.posterior("common", x).mean, self.posterior("salient", x).mean

    def posterior(self, space: str, x: Tensor) -> Gaussian:
        """Return the posterior of the code of one space."""
        return Gaussian.of(self.networks_[space](x))


def with_discriminator(method: ContrastiveVAE, learning_rate: float, target_only: bool) -> list[Player]:
    """Return the players of a total correlation: first the network "discriminator", then the model.

    The discriminator learns to tell the samples of one image from those of two; they are detached (P11).

    Args:
        method: its networks, built.
        learning_rate: of the discriminator.
        target_only: whether the discriminator sees target rows alone.
    """

    def loss(batch: Batch, draws: Draws) -> Terms:
        with torch.no_grad():
            z = method.latents(batch, draws)
        c, s = (z.c[z.groups[1]], z.s[z.groups[1]]) if target_only else (z.c, z.s)
        entropy = dependence_loss(method.networks_["discriminator"], c, s, draws.noise)
        return {"cross_entropy": (entropy, 1.0)}

    model = tuple(name for name in method.networks_ if name != "discriminator")
    return [
        Player("discriminator", ("discriminator",), loss, learning_rate),
        Player("model", model, method.training_loss, method.learning_rate),
    ]
