"""The ceiling: two encoders trained on the factors themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cabench.augment.views import Canvas, views
from cabench.codes import SPACES, Batch, Factor, Split
from cabench.errors import UserError
from cabench.method import Settings
from cabench.params import count, weight
from cabench.train import Draws, EncoderPair, Terms


@dataclass(kw_only=True, eq=False)
class Supervised(EncoderPair):
    """One encoder per space, trained on all factors at home there; NaN labels are left out (METHODS 2.13).

    Args:
        crop: smallest area share of a random crop, where the data set allows one at all (1 = no crop).
    """

    name = "supervised"
    title = "Supervised on every factor (the ceiling)"
    paper = ""
    kind = "reference"
    supervision = "attributes"
    replayed = True
    role = "ceiling"
    needs_full_batch = False
    settings: ClassVar[Settings] = {
        "smoke": {"*": {"epochs": 3, "batch_size": 32}},
        "quick": {"*": {"epochs": 40}, "cifar_mnist": {"crop": 0.5}},
        "paper": {
            "*": {"backbone": "resnet18", "epochs": 100, "batch_size": 512, "learning_rate": 1e-3},
            "schizophrenia_mri": {"backbone": "small"},
        },
    }

    crop: float = weight(1.0, most=1.0)
    batch_size: int = count(128, least=4)

    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return an encoder per space and a linear head per factor.

        Raises:
            UserError: the split carries no factors, or a factor with fewer than two classes.
        """
        if not train.factors:
            raise UserError("'supervised' needs a training split with labels and factors.")
        for factor in train.factors:
            _require_two_classes(factor, train.labels[factor.name])
        self.factors_: tuple[Factor, ...] = train.factors
        self.scales_ = {factor.name: _scale(train.labels[factor.name]) for factor in train.factors}
        networks: dict[str, nn.Module] = {space: self.encoder(space, view) for space in SPACES}
        for factor in train.factors:
            networks[f"head_{factor.name}"] = nn.Linear(self.dim(factor.home), len(factor.classes or (0,)))
        return networks

    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return cross-entropy per class factor and standardised squared error per continuous one."""
        # A flip, turn or crop may change what is asked for (a position, a side): a crop must be asked for.
        own = self.canvas_.augmentation
        mild = replace(own, crop=max(self.crop, own.crop), shift=0.0, flip=0.0, rotation=0.0, cutout=0.0)
        view = views(batch.x, mild, draws.augmentation)
        codes = {space: F.relu(self.networks_[space](view)) for space in SPACES}
        terms: Terms = {}
        for factor in self.factors_:
            values = batch.labels[factor.name]
            known = ~values.isnan()
            if factor.rows != "all":
                known &= batch.y == (1 if factor.rows == "target" else 0)
            read = self.networks_[f"head_{factor.name}"](codes[factor.home])
            values = torch.where(known, values, 0.0)
            if factor.classes:
                losses = F.cross_entropy(read, values.long(), reduction="none")
            else:
                mean, scale = self.scales_[factor.name]
                losses = (read[:, 0] - (values - mean) / scale).square()
            terms[factor.name] = ((losses * known).sum() / known.sum().clamp(min=1), 1.0)
        return terms

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the layers before the heads."""
        return F.relu(self.networks_["common"](x)), F.relu(self.networks_["salient"](x))


def _require_two_classes(factor: Factor, column: np.ndarray) -> None:
    classes = np.unique(column[~np.isnan(column)])
    if factor.classes and len(classes) < 2:
        known = " and ".join(f"'{factor.classes[int(k)]}'" for k in classes) or "nothing"
        raise UserError(
            f"'supervised' needs two classes of the factor '{factor.name}', and the training split holds {known}; "
            "leave the factor out or take more images."
        )


def _scale(column: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of the known values (n,), or 0 and 1 without any."""
    known = column[~np.isnan(column)]
    if len(known) == 0:
        return 0.0, 1.0
    return float(known.mean()), float(known.std()) or 1.0
