"""SepCLR: contrastive separation of common and salient patterns, with k-JEM or another term against leakage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, views
from cabench.codes import Batch, Split
from cabench.losses.density_ratio import dependence_loss, mean_logit
from cabench.losses.information import hsic, log_density, vclub, vclub_sample, vl1out, vub
from cabench.losses.mmd import mmd
from cabench.losses.pairwise import alignment, joint_entropy, sepclr_pairwise
from cabench.method import Settings
from cabench.nets.discriminator import code_discriminator
from cabench.nets.head import projector
from cabench.nets.posterior import Posterior
from cabench.params import choice, count, rate, weight
from cabench.train import Draws, EncoderPair, Player, Terms

# The network that estimates a term, and steps before the model.
ESTIMATORS = {
    "vclub": "posterior",
    "vclub_s": "posterior",
    "vl1out": "posterior",
    "vub": "posterior",
    "tc": "discriminator",
}


@dataclass(frozen=True)
class Heads:
    """Both heads of one view of a batch.

    Attributes:
        c: common head (n, d_c), normalised.
        s: salient head (n, d_s), not normalised.
        zeroed: s, but background rows lie on the information-less point 0.
    """

    c: Tensor
    s: Tensor
    zeroed: Tensor


@dataclass(kw_only=True, eq=False)
class SepCLR(EncoderPair):
    """Louiset, Duchesnay, Grigis, Gori, ICLR 2024, arXiv:2402.11928; the formulas are those of METHODS 2.1.

    As published, the views pass through the encoders one after the other, each with its own batch statistics, and
    zeroed background codes are a product with the group, through which the gradient of target rows flows (S8).
    Other terms than k-JEM take its place as in METHODS 2.3, each a mean over the two views.

    Args:
        common_weight: weight of the common alignment and uniformity.
        salient_weight: weight of the salient alignment and uniformity.
        null_weight: weight of the information-less term, which pulls background salient codes to 0.
        mi_term: what keeps the codes from sharing information. "k_jem" raises their joint entropy; "vclub",
            "vclub_s" (one partner per row), "vl1out" and "vub" are bounds by a posterior q(s | c); "tc" is the
            logit of a discriminator of pairs; "hsic" is a kernel dependence; "mmd" makes the common codes of the
            two groups alike.
        mi_weight: weight of that term.
        mi_rows: rows on which the bounds, "tc" and "hsic" are taken. All background rows share the salient code 0:
            with "all", the group itself is to be forgotten by the common code.
        inner_rate: learning rate of the posterior or the discriminator.
        inner_steps: their steps per batch.
    """

    name = "sepclr"
    title = "SepCLR with k-JEM"
    paper = "Louiset et al., ICLR 2024, arXiv:2402.11928"
    kind = "contrastive"
    supervision = "domain"
    replayed = True
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {
            # An estimator that lags behind the encoders is fooled by them: the bounds then fall without end.
            "*": {"mi_weight": 20.0, "inner_rate": 1e-2, "inner_steps": 5},
            "cifar_mnist": {"mi_weight": 10.0},
            "dsprites_grid": {"mi_weight": 30.0},
            "schizophrenia_mri": {"mi_weight": 17.0, "epochs": 26},
        },
        "converged": {
            "cifar_mnist": {"epochs": 40},
            "dsprites_grid": {"epochs": 40},
            "odir_subtypes": {"epochs": 40},
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
    mi_term: str = choice("k_jem", "none", "vclub", "vclub_s", "vl1out", "vub", "tc", "mmd", "hsic")
    mi_weight: float = weight(10.0)
    mi_rows: str = choice("target", "all")
    inner_rate: float = rate(1e-3)
    inner_steps: int = count(1)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return two encoders with their projectors, which share nothing, and the estimator of the term."""
        networks: dict[str, nn.Module] = {
            "common": self.encoder("common", view),
            "common_head": projector(self.common_dim),
            "salient": self.encoder("salient", view),
            "salient_head": projector(self.salient_dim),
        }
        estimator = ESTIMATORS.get(self.mi_term)
        if estimator == "posterior":
            networks[estimator] = Posterior(self.common_dim, self.salient_dim)
        elif estimator == "discriminator":
            networks[estimator] = code_discriminator(self.common_dim + self.salient_dim)
        return networks

    def players(self) -> list[Player]:
        """Return the model, after the estimator of its term if that is trained."""
        estimator = ESTIMATORS.get(self.mi_term)
        if estimator is None:
            return super().players()
        model = tuple(name for name in self.networks_ if name != estimator)
        return [
            Player(estimator, (estimator,), self.estimator_loss, self.inner_rate, steps=self.inner_steps),
            Player("model", model, self.training_loss, self.learning_rate),
        ]

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Draw two views of each image and return the terms of METHODS 2.1, the first two in halves."""
        first, second = self.heads(batch, draws), self.heads(batch, draws)
        raw = sepclr_terms(first, second, batch.y)
        weights = {
            "alignment_common": self.common_weight,
            "uniformity_common": self.common_weight,
            "alignment_salient": self.salient_weight,
            "uniformity_salient": self.salient_weight,
            "null": self.null_weight,
        }
        terms = {name: (raw[name], weight) for name, weight in weights.items()}
        if self.mi_term == "k_jem":
            terms["joint_entropy"] = (raw["joint_entropy"], self.mi_weight)
        elif self.mi_term != "none":
            halves = [self.penalty(heads, batch.groups, draws) for heads in (first, second)]
            terms[self.mi_term] = ((halves[0] + halves[1]) / 2, self.mi_weight)
        return terms

    def estimator_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the loss of the posterior or the discriminator, on the codes of one fresh view held still."""
        with torch.no_grad():
            c, s = self.counted(self.heads(batch, draws), batch.groups)
        if self.mi_term == "tc":
            return {"cross_entropy": (dependence_loss(self.networks_["discriminator"], c, s, draws.noise), 1.0)}
        mean, logvar = self.networks_["posterior"](c)
        likelihood = log_density(mean, logvar, s)
        return {"negative_log_likelihood": (-likelihood.sum() / max(1, len(s)), 1.0)}

    def heads(self, batch: Batch, draws: Draws) -> Heads:
        """Return the heads of one random view of each image."""
        view = views(batch.x, self.canvas_.augmentation, draws.augmentation)
        c = F.normalize(self.networks_["common_head"](self.networks_["common"](view)), eps=1e-12)
        s: Tensor = self.networks_["salient_head"](self.networks_["salient"](view))
        return Heads(c, s, s * batch.y.to(s.dtype)[:, None])

    def counted(self, heads: Heads, groups: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return both codes of the rows that `mi_rows` names; `groups` are the row numbers of both."""
        if self.mi_rows == "all":
            return heads.c, heads.zeroed
        _, target = groups
        return heads.c[target], heads.zeroed[target]

    def penalty(self, heads: Heads, groups: tuple[Tensor, Tensor], draws: Draws) -> Tensor:
        """Return the term `mi_term` of one view, to be minimised; `groups` are the row numbers of both."""
        if self.mi_term == "k_jem":
            return joint_entropy(heads.c, heads.zeroed)
        if self.mi_term == "mmd":
            background, target = groups
            return mmd(heads.c[background], heads.c[target])
        c, s = self.counted(heads, groups)
        if self.mi_term == "hsic":
            return hsic(c, s)
        if self.mi_term == "tc":
            return mean_logit(self.networks_["discriminator"], c, s)
        mean, logvar = self.networks_["posterior"](c)
        if self.mi_term == "vub":
            return vub(mean, logvar)
        if self.mi_term == "vclub_s":
            return vclub_sample(mean, logvar, s, draws.noise)
        return vclub(mean, logvar, s) if self.mi_term == "vclub" else vl1out(mean, logvar, s)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the representations, before the projectors."""
        return self.networks_["common"](x), self.networks_["salient"](x)


def sepclr_terms(first: Heads, second: Heads, y: Tensor) -> dict[str, Tensor]:
    """Return the raw terms of METHODS 2.1: both halves of L_com and of L_sal, then L_null and L_jem.

    Uniformity is summed over the two views: it counts twice, as published. It comes with the joint entropy in one
    sweep over the pairs of a view.

    Args:
        first: heads of one view.
        second: heads of the other view.
        y: groups (n,).
    """
    target, origin = y.to(first.s.dtype), torch.zeros_like(first.s)
    nulls = [alignment(heads.s, origin, weights=1 - target) for heads in (first, second)]
    halves = [sepclr_pairwise(heads.c, heads.zeroed, y) for heads in (first, second)]
    uniformity_common, uniformity_salient, joint_entropies = zip(*halves, strict=True)
    return {
        "alignment_common": alignment(first.c, second.c),
        "uniformity_common": sum(uniformity_common),
        "alignment_salient": alignment(first.s, second.s, weights=target),
        "uniformity_salient": sum(uniformity_salient),
        "null": sum(nulls) / 2,
        "joint_entropy": sum(joint_entropies) / 2,
    }
