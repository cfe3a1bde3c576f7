"""SepCLR with known attributes: one salient unit per salient factor of the target images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, canvas, views, whole
from cabench.codes import Batch, Factor, Space, Split
from cabench.errors import UserError
from cabench.losses.pairwise import TEMPERATURE, alignment, sepclr_pairwise, supervised_alignment, uniformity
from cabench.method import Settings
from cabench.nets.strided import Strided
from cabench.params import choice, weight
from cabench.train import Draws, EncoderPair, Terms

WIDTH = 0.025  # of the kernel of a continuous attribute; also its temperature in the null term
CLASS_WIDTH = 5e-6  # of that of a class: nothing is left of it between two numbers of classes
APART = -10.0  # of two rows without a value, and of these and any value: far beyond either kernel
# Nothing is published for volumes: the 2-D widths would cost ten times an image of 64x64.
NATIVE_WIDTHS = {2: (512, 256, 128, 64, 32), 3: (128, 64, 32, 32, 32)}
NATIVE_SIDE = {2: 64, 3: 32}
NATIVE_HIDDEN = 128


@dataclass(kw_only=True, eq=False)
class SepCLRAttributes(EncoderPair):
    """Louiset, Duchesnay, Grigis, Gori, ICLR 2024, arXiv:2402.11928, as run on dSprites: METHODS 2.2.

    Images with close values of an attribute are drawn together in its unit of the salient code; a missing value
    leaves out its pairs. Classes are close if equal. Continuous values are compared as they are where all lie
    within [-1, 1], as the published ones do, and otherwise after their training range became [0, 1].

    Args:
        track: "matched", the encoders that every method shares, or "native", the published small networks.
        common_weight: weight of the common alignment and uniformity.
        salient_weight: weight of the salient uniformity, the attributes and the null term.
        mi_weight: weight of k-JEM, which raises the joint entropy of the codes.
    """

    name = "sepclr_attributes"
    title = "SepCLR with known attributes"
    paper = "Louiset et al., ICLR 2024, arXiv:2402.11928"
    kind = "contrastive"
    supervision = "attributes"
    replayed = True
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {"*": {"epochs": 26}, "schizophrenia_mri": {"epochs": 35}},
        "converged": {
            "celeba_accessories": {"epochs": 52},
            "chexpert_subtypes": {"epochs": 208},
            "cifar_mnist": {"epochs": 52},
            "dsprites_grid": {"epochs": 208},
            "odir_subtypes": {"epochs": 104},
            "schizophrenia_mri": {"epochs": 140},
        },
        "paper": {
            # Published for dSprites alone, and there with the native networks; elsewhere as SepCLR.
            "*": {"backbone": "resnet18", "epochs": 250, "batch_size": 512, "learning_rate": 3e-4},
            "dsprites_grid": {"batch_size": 1024, "track": "native"},
            "celeba_accessories": {"batch_size": 256},
            "chexpert_subtypes": {"batch_size": 256, "epochs": 200},
            "odir_subtypes": {"batch_size": 256, "epochs": 200},
            "schizophrenia_mri": {"backbone": "small"},
        },
    }

    track: str = choice("matched", "native")
    salient_dim: int = field(init=False, default=0)  # the number of factors, known in `build`
    common_weight: float = weight(1.0)
    salient_weight: float = weight(100.0)
    mi_weight: float = weight(10.0)

    def dim(self, space: Space) -> int:
        """Return the size of the code of one space: the salient one has a unit per attribute."""
        return self.common_dim if space == "common" else len(self.attributes_)

    def seen(self, train: Split) -> Canvas:
        """Return the data set's own view, or one of the native networks' side."""
        view = canvas(train)
        if self.track == "matched":
            return view
        size = NATIVE_SIDE[view.axes]
        return replace(view, size=size, augmentation=replace(view.augmentation, size=size))

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return two separate encoders, whose outputs are the codes: there is no projector.

        Raises:
            UserError: the data set has no salient factor on target rows.
        """
        self.attributes_: tuple[Factor, ...] = tuple(
            factor for factor in train.factors if factor.home == "salient" and factor.rows == "target"
        )
        if not self.attributes_:
            raise UserError(f"'{self.name}' needs a data set with a salient factor that is defined on target rows.")
        self.ranges_ = {factor.name: _range(train.labels[factor.name][train.y == 1]) for factor in self.attributes_}
        if self.track == "native":
            return {
                "common": native_encoder(view, self.common_dim),
                "salient": native_encoder(view, self.dim("salient")),
            }
        return {"common": self.encoder("common", view), "salient": self.encoder("salient", view)}

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the terms of METHODS 2.2; only the common code sees a random view beside the clean image."""
        clean = whole(batch.x, self.canvas_.size)
        view = views(batch.x, self.canvas_.augmentation, draws.augmentation)
        c, other = (F.normalize(self.networks_["common"](x), eps=1e-12) for x in (clean, view))
        s = self.networks_["salient"](clean)
        target = batch.y.to(s.dtype)
        zeroed = s * target[:, None]
        uniformity_clean, _, joint = sepclr_pairwise(c, zeroed, batch.y)
        terms: Terms = {
            "alignment_common": (alignment(c, other), self.common_weight),
            "uniformity_common": ((uniformity_clean + uniformity(other)) / 2, self.common_weight),
        }
        per_unit = [self.salient_terms(unit, batch, s, zeroed) for unit in range(len(self.attributes_))]
        for name in per_unit[0]:
            terms[name] = (torch.stack([unit[name] for unit in per_unit]).mean(), self.salient_weight)
        return terms | {"joint_entropy": (joint, self.mi_weight)}

    def salient_terms(self, unit: int, batch: Batch, s: Tensor, zeroed: Tensor) -> dict[str, Tensor]:
        """Return the three raw parts of L_sal of one unit.

        Args:
            unit: column of the salient code, and number of the attribute.
            batch: the images' groups and attributes.
            s: salient codes (n, d_s).
            zeroed: the same with background rows on the information-less point 0.
        """
        factor, column = self.attributes_[unit], s[:, unit : unit + 1]
        values = batch.labels[factor.name]
        low, width = self.ranges_[factor.name]
        known = (batch.y == 1) & ~values.isnan()
        # Weights rather than a choice of rows, for which a GPU would wait: a row without a value is like no other.
        apart = APART * torch.arange(1, len(s) + 1, dtype=values.dtype, device=values.device)
        placed = torch.where(known, values if factor.classes else (values - low) / width, apart)
        over_all = supervised_alignment(column, placed, CLASS_WIDTH if factor.classes else WIDTH)
        n, m = len(s), known.sum()
        tau = TEMPERATURE if factor.classes else WIDTH
        background = (batch.y == 0).to(s.dtype)
        return {
            "uniformity_salient": uniformity(zeroed[:, unit : unit + 1]),
            "attributes": over_all * (n * (n - 1) / (m * (m - 1)).clamp(min=1)) / 2,
            "null": alignment(column, torch.zeros_like(column), weights=background, tau=tau) / 2,
        }

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the networks' outputs, the common one before its normalisation."""
        return self.networks_["common"](x), self.networks_["salient"](x)


def native_encoder(view: Canvas, dim: int) -> nn.Sequential:
    """Return strided 4x4 convolutions and two linear layers, all but the last with ReLU, to codes (n, dim)."""
    widths = NATIVE_WIDTHS[view.axes]
    features = widths[-1] * (view.size // 2 ** len(widths)) ** view.axes
    return nn.Sequential(
        *Strided(view.axes).down(view.channels, *widths),
        nn.Flatten(),
        nn.Linear(features, NATIVE_HIDDEN),
        nn.ReLU(),
        nn.Linear(NATIVE_HIDDEN, dim),
    )


def _range(column: np.ndarray) -> tuple[float, float]:
    """Return the least value and the width of the range that become [0, 1]; 0 and 1 leave values as they are."""
    known = column[~np.isnan(column)]
    if len(known) == 0 or np.abs(known).max() <= 1:
        return 0.0, 1.0
    return float(known.min()), float(np.ptp(known)) or 1.0
