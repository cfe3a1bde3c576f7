"""The base classes of trained methods: what one must give, and how it is fitted, embeds, is kept and restored."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from cabench.augment.views import Canvas, canvas, whole
from cabench.codes import Augmentation, Batch, Codes, Factor, Space, Split
from cabench.errors import UserError
from cabench.isolation import isolated
from cabench.method import Context, Method, State
from cabench.nets.encoder import encoder
from cabench.params import choice, count, rate
from cabench.player import Draws, Player, Terms, Trend
from cabench.seeds import stream_seed

__all__ = ["EMBED_ROWS", "Draws", "EncoderPair", "LightningMethod", "Player", "Terms"]

EMBED_ROWS = 500


class LightningMethod(Method):
    """A method trained by gradient descent: a subclass gives `build`, `training_loss` and `encode`.

    Attributes:
        needs_both_groups: whether background and target must both be there to train.
        needs_full_batch: whether a split that is smaller than a batch is refused; a mean over images is the same
            loss in a smaller batch, a comparison within the batch is not.
        replayed: whether steps on a GPU are recorded and replayed (`cabench.replay`). Say so of a method whose
            losses depend on nothing but the batch, the draws and the networks, and ask the device for nothing.
        optimizer_reset_epochs: Adam forgets its moments after so many epochs; 0 = never.
        networks_: the trained networks, after `fit`.
        history_: one dict per epoch: the mean of every loss term, raw and weighted.
        trend_: what the validation loss did when the budget ended (see `trend`); None without one.
    """

    needs_both_groups: ClassVar[bool] = True
    needs_full_batch: ClassVar[bool] = True
    replayed: ClassVar[bool] = False
    optimizer_reset_epochs: int = 0

    epochs: int
    batch_size: int
    learning_rate: float

    networks_: nn.ModuleDict
    canvas_: Canvas
    _shape_: dict[str, Any]
    history_: list[dict[str, float]]
    trend_: Trend | None

    @abstractmethod
    def build(self, train: Split, view: Canvas) -> dict[str, nn.Module]:
        """Return fresh networks for images as `view` describes them."""

    @abstractmethod
    def training_loss(self, batch: Batch, draws: Draws) -> Terms:
        """Return the terms of the loss: name -> (raw scalar, weight)."""

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return common (n, d_c) and salient (n, d_s) codes of whole images (n, channels, ...) in [0, 1]."""

    def players(self) -> list[Player]:
        """Return who steps on each batch, in turn; the last one is the model, whose loss is watched."""
        return [Player("model", tuple(self.networks_), self.training_loss, self.learning_rate)]

    def seen(self, train: Split) -> Canvas:
        """Return how the images of a split are seen: as its data set says."""
        return canvas(train)

    def accept(self, train: Split) -> None:
        """Look whether it can be fitted on a split.

        Raises:
            UserError: it is empty; the method needs both groups and it has fewer than two rows of one; or it has
                fewer images than a batch.
        """
        super().accept(train)
        if self.needs_both_groups and min(np.sum(train.y == 0), np.sum(train.y == 1)) < 2:
            raise UserError(f"'{self.name}' needs at least two background and two target images to train.")
        if self.needs_full_batch and self.epochs and len(train) < self.batch_size:
            raise UserError(
                f"'{self.name}' trains on batches of {self.batch_size} images and the training split holds "
                f"{len(train)}; set batch_size to at most that."
            )

    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Train for the whole budget.

        Raises:
            UserError: `accept` refuses the split.
            RuntimeError: the loss became NaN or infinite.
        """
        # Lightning takes seconds to import, which plans can do without; and it turns on its loggers, hushed below.
        from cabench.loop import train_networks

        self.accept(train)
        self._shape_ = {
            "shape": list(train.x.shape[1:]),
            "augmentation": train.augmentation and asdict(train.augmentation),
            "factors": [asdict(factor) for factor in train.factors],
        }
        self.canvas_ = self.seen(train)
        self.history_, self.trend_ = [], None
        with isolated(stream_seed(context.seed, "init"), context.threads):
            self.networks_ = self._fresh_networks(train).to(context.device)
            if self.epochs:
                self.history_, self.trend_ = train_networks(self, train, validation, context)
        # Lightning leaves the networks on the CPU.
        self.networks_.eval().to(context.device)
        return self

    @torch.no_grad()
    def embed(self, x: np.ndarray) -> Codes:
        """Return the codes of uint8 images (n, channels, ...)."""
        device = next((p.device for p in self.networks_.parameters()), torch.device("cpu"))
        self.networks_.eval()
        pieces = [
            self.encode(whole(torch.from_numpy(x[i : i + EMBED_ROWS]).to(device), self.canvas_.size))
            for i in range(0, len(x), EMBED_ROWS)
        ]
        common, salient = (torch.cat(codes).float().cpu().numpy() for codes in zip(*pieces, strict=True))
        return Codes(common, salient)

    def state(self) -> State:
        """Return the networks' weights, and what is needed to build them again."""
        weights = {name: value.cpu().numpy() for name, value in self.networks_.state_dict().items()}
        return State(weights, self._shape_)

    def restore(self, state: State) -> Self:
        """Take a state: build the networks for images of that shape, and fill them."""
        facts = state.facts
        rows = np.arange(2)
        skeleton = Split(
            np.zeros((2, *facts["shape"]), np.uint8),
            rows,
            {factor["name"]: rows.astype(float) for factor in facts["factors"]},
            rows,
            tuple(map(Factor.stored, facts["factors"])),
            facts["augmentation"] and Augmentation(**facts["augmentation"]),
        )
        self._shape_, self.canvas_ = facts, self.seen(skeleton)
        self.history_, self.trend_ = [], None
        with isolated(0):
            self.networks_ = self._fresh_networks(skeleton)
        self.networks_.load_state_dict({name: torch.from_numpy(value) for name, value in state.arrays.items()})
        self.networks_.eval()
        return self

    def _fresh_networks(self, train: Split) -> nn.ModuleDict:
        """Return untrained networks with their channels last in memory, where convolutions are faster."""
        layout = torch.channels_last if self.canvas_.axes == 2 else torch.channels_last_3d
        return nn.ModuleDict(self.build(train, self.canvas_)).to(memory_format=layout)


@dataclass(kw_only=True, eq=False)
class EncoderPair(LightningMethod):
    """A trained method of two encoders, one per space, that share nothing.

    Args:
        common_dim: size of the common code.
        salient_dim: size of the salient code.
        backbone: of the encoders.
        epochs: budget.
        batch_size: rows per step, both groups in each.
        learning_rate: of Adam, with warm-up and cosine.
    """

    common_dim: int = count(32)
    salient_dim: int = count(32)
    backbone: str = choice("small", "resnet18")
    epochs: int = count(20)
    batch_size: int = count(256, least=4)
    learning_rate: float = rate(4e-3)

    def encoder(self, space: Space, view: Canvas, outputs: int = 1) -> nn.Module:
        """Return a fresh encoder of one space, giving `outputs` numbers per unit of its code."""
        return encoder(self.backbone, view, outputs * self.dim(space))

    def dim(self, space: Space) -> int:
        """Return the size of the code of one space."""
        return self.common_dim if space == "common" else self.salient_dim
