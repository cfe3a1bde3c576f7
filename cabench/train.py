"""The one place that builds a Lightning Trainer, and the base classes of every trained method."""

from __future__ import annotations

import logging
import math
import signal
import threading
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from cabench.augment.views import Canvas, canvas, whole
from cabench.codes import Augmentation, Batch, Codes, Factor, Space, Split
from cabench.errors import UserError
from cabench.method import Context, Method, State
from cabench.nets.encoder import encoder
from cabench.params import choice, count, rate
from cabench.seeds import numpy_stream, stream_seed

Terms = dict[str, tuple[Tensor, float]]
Trend = Literal["flat", "falling", "rising"]
WARM_UP = 0.05  # share of the steps
EMBED_ROWS = 500
# A validation loss is flat while it moves by less than this share of all that was gained.
FLAT_SHARE = 0.05
VALIDATIONS = 10  # how often the validation loss is looked at during a fit


@dataclass(frozen=True)
class Draws:
    """The random streams of a training step."""

    augmentation: torch.Generator
    noise: torch.Generator


@dataclass(frozen=True)
class Player:
    """Networks that step together on a loss of their own, all others held still: the model, a discriminator.

    Attributes:
        name: stands before its terms in the history, but for the last player's.
        networks: names of the networks that move.
        loss: returns the terms: name -> (raw scalar, weight).
        learning_rate: of its Adam, with warm-up and cosine.
        betas: of its Adam.
        steps: steps per batch.
    """

    name: str
    networks: tuple[str, ...]
    loss: Callable[[Batch, Draws], Terms]
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    steps: int = 1


class LightningMethod(Method):
    """A method trained by gradient descent: a subclass gives `build`, `training_loss` and `encode`.

    Attributes:
        needs_both_groups: whether background and target must both be there to train.
        needs_full_batch: whether a split that is smaller than a batch is refused; a mean over images is the same
            loss in a smaller batch, a comparison within the batch is not.
        optimizer_reset_epochs: Adam forgets its moments after so many epochs; 0 = never.
        networks_: the trained networks, after `fit`.
        history_: one dict per epoch: the mean of every loss term, raw and weighted.
        trend_: what the validation loss did when the budget ended (see `trend`); None without one.
    """

    needs_both_groups: ClassVar[bool] = True
    needs_full_batch: ClassVar[bool] = True
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

    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Train for the whole budget.

        Raises:
            UserError: the method needs both groups and `train` has fewer than two rows of one, or fewer images
                than a batch holds.
            RuntimeError: the loss became NaN.
        """
        if self.needs_both_groups and min(np.sum(train.y == 0), np.sum(train.y == 1)) < 2:
            raise UserError(f"'{self.name}' needs at least two background and two target images to train.")
        if self.needs_full_batch and self.epochs and len(train) < self.batch_size:
            raise UserError(
                f"'{self.name}' trains on batches of {self.batch_size} images and the training split holds "
                f"{len(train)}; set batch_size to at most that."
            )
        self._shape_ = {
            "shape": list(train.x.shape[1:]),
            "augmentation": train.augmentation and asdict(train.augmentation),
            "factors": [asdict(factor) for factor in train.factors],
        }
        self.canvas_ = self.seen(train)
        self.history_, self.trend_ = [], None
        with isolated(stream_seed(context.seed, "init"), context.threads):
            self.networks_ = nn.ModuleDict(self.build(train, self.canvas_)).to(context.device)
            if self.epochs:
                self._train(train, validation, context)
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
            tuple(Factor(**factor | {"classes": _tuple(factor["classes"])}) for factor in facts["factors"]),
            facts["augmentation"] and Augmentation(**facts["augmentation"]),
        )
        self._shape_, self.canvas_ = facts, self.seen(skeleton)
        self.history_, self.trend_ = [], None
        with isolated(0):
            self.networks_ = nn.ModuleDict(self.build(skeleton, self.canvas_))
        self.networks_.load_state_dict({name: torch.from_numpy(value) for name, value in state.arrays.items()})
        self.networks_.eval()
        return self

    def _train(self, train: Split, validation: Split | None, context: Context) -> None:
        module = _Module(self, train, validation, context)
        trainer = pl.Trainer(
            max_epochs=self.epochs,
            accelerator="gpu" if context.device.startswith("cuda") else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=max(1, self.epochs // VALIDATIONS),
        )
        # A signal keeps the meaning that the harness gave it.
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
        validation_loader = None if validation is None else module.loader(validation, context.seed, shuffle=False)
        with interruptible():
            trainer.fit(module, module.loader(train, context.seed, shuffle=True), validation_loader)
        self.history_ = module.history
        self.trend_ = trend([epoch["validation/loss"] for epoch in self.history_ if "validation/loss" in epoch])


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


def trend(losses: list[float]) -> Trend | None:
    """Say what a validation loss did in the last fifth of its looks; with fewer than five nobody can tell: None.

    "falling" if the best loss still improved by more than 5 % of all that was gained, "rising" if the last
    loss lies above the best by more than that, else "flat".

    >>> trend([10, 5, 3, 2.2, 2.1, 2.05, 2.02, 2.0, 2.0, 2.0])
    'flat'
    >>> trend([10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    'falling'
    >>> trend([10, 5, 3, 2, 2.2, 2.6, 3, 3.5, 4, 4.5])
    'rising'
    """
    if len(losses) < 5:
        return None
    last = max(1, len(losses) // 5)
    margin = FLAT_SHARE * (losses[0] - min(losses))
    if losses[-1] - min(losses) > margin:
        return "rising"
    return "falling" if min(losses[:-last]) - min(losses[-last:]) > margin else "flat"


def stratified_batches(y: np.ndarray, size: int, rng: np.random.Generator | None) -> list[np.ndarray]:
    """Split all rows into batches of about `size`, with both groups' shares (at least 2 rows) in each.

    A group too small for that is gone through several times. Without `rng` the order is that of the rows.
    """
    count = max(1, len(y) // size)
    parts = []
    for group in (0, 1):
        rows = np.flatnonzero(y == group)
        if len(rows) == 0:
            continue
        rows = rng.permutation(rows) if rng is not None else rows
        rows = np.tile(rows, math.ceil(2 * count / len(rows))) if len(rows) < 2 * count else rows
        parts.append(np.array_split(rows, count))
    return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C out as KeyboardInterrupt: Lightning turns it into an exit and deafens SIGINT for good."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as exit_:
        if isinstance(exit_.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def isolated(seed: int, threads: int | None = None) -> Iterator[None]:
    """Seed torch for the initialisation of networks, and put every global state back afterwards."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    # Lightning sees neither logs nor tips: the harness tells the user what happens.
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    deterministic = torch.are_deterministic_algorithms_enabled()
    threads_before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads_before)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Batches(IterableDataset[Tensor]):
    """Yields the row numbers of one batch after another, in a new order in each epoch."""

    def __init__(self, y: np.ndarray, size: int, rng: np.random.Generator | None) -> None:
        self._y, self._size, self._rng = y, size, rng

    def __len__(self) -> int:
        return max(1, len(self._y) // self._size)

    def __iter__(self) -> Iterator[Tensor]:
        for rows in stratified_batches(self._y, self._size, self._rng):
            yield torch.from_numpy(rows)


class _Module(pl.LightningModule):
    """Carries a method's networks through Lightning; images and labels stay on the device."""

    def __init__(self, method: LightningMethod, train: Split, validation: Split | None, context: Context) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.networks = method.networks_
        self.history: list[dict[str, float]] = []
        # Behind a tuple, so that Lightning registers neither as a part of the module.
        self._held = (method, context)
        self._players = method.players()
        self._sets = {"train": _tensors(train, context.device)}
        if validation is not None:
            self._sets["validation"] = _tensors(validation, context.device)
        self._draws = self._fresh_draws("train")
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def loader(self, split: Split, seed: int, shuffle: bool) -> DataLoader[Tensor]:
        rng = numpy_stream(seed, "sampler") if shuffle else None
        return DataLoader(_Batches(split.y, self._held[0].batch_size, rng), batch_size=None)

    def configure_optimizers(self) -> Any:
        total = int(self.trainer.estimated_stepping_batches)
        made: list[Any] = []
        for player in self._players:
            adam = torch.optim.Adam(self._parameters_of(player), lr=player.learning_rate, betas=player.betas)
            scheduler = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: warm_up_cosine(step, total))
            made.append({"optimizer": adam, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}})
        return made

    def training_step(self, rows: Tensor) -> None:
        optimisers: Any = self.optimizers()
        schedulers: Any = self.lr_schedulers()
        several = isinstance(optimisers, list)
        for k, player in enumerate(self._players):
            optimiser = optimisers[k] if several else optimisers
            with self._moving(player):
                for _ in range(player.steps):
                    loss = self._step("train", player, rows, self._draws)
                    optimiser.zero_grad()
                    self.manual_backward(loss)
                    optimiser.step()
            (schedulers[k] if several else schedulers).step()

    def on_train_epoch_end(self) -> None:
        every = self._held[0].optimizer_reset_epochs
        if every and (len(self.history) + 1) % every == 0:
            for optimiser in self.trainer.optimizers:
                optimiser.state.clear()
        self.history.append(self._means("train"))
        if not all(math.isfinite(mean) for name, mean in self.history[-1].items() if name.endswith("/loss")):
            raise RuntimeError(f"the loss became NaN at epoch {len(self.history)}")
        self.history[-1] |= self._validated
        self._validated = {}
        self._held[1].progress(len(self.history), self._held[0].epochs)

    _validated: dict[str, float] = {}  # noqa: RUF012 - replaced, never changed

    def on_validation_epoch_start(self) -> None:
        self._train_sums, self._sums = self._sums, {}
        # The same views at every look, or the curve would show the draw.
        self._validation_draws = self._fresh_draws("validation")

    def validation_step(self, rows: Tensor) -> None:
        self._step("validation", self._players[-1], rows, self._validation_draws)

    def on_validation_epoch_end(self) -> None:
        self._validated = self._means("validation")
        self._sums = self._train_sums

    def _step(self, part: str, player: Player, rows: Tensor, draws: Draws) -> Tensor:
        x, y, labels = self._sets[part]
        rows = rows.to(x.device)
        batch = Batch(x[rows], y[rows], {name: column[rows] for name, column in labels.items()})
        terms = player.loss(batch, draws)
        loss = torch.stack([raw * weight for raw, weight in terms.values()]).sum()
        whose = part if player is self._players[-1] else f"{part}/{player.name}"
        for name, (raw, weight) in terms.items():
            self._add(f"{whose}/{name}", raw.detach())
            self._add(f"{whose}/{name}/weighted", raw.detach() * weight)
        self._add(f"{whose}/loss", loss.detach())
        return loss

    def _parameters_of(self, player: Player) -> list[nn.Parameter]:
        return [p for name in player.networks for p in self.networks[name].parameters()]

    @contextmanager
    def _moving(self, player: Player) -> Iterator[None]:
        """Hold every network but the player's still; gradients pass through those, and stop nowhere else."""
        if len(self._players) > 1:
            self.networks.requires_grad_(False)
            for name in player.networks:
                self.networks[name].requires_grad_(True)
        yield
        if len(self._players) > 1:
            self.networks.requires_grad_(True)

    def _add(self, name: str, value: Tensor) -> None:
        total, times = self._sums.get(name, (torch.zeros_like(value), 0))
        self._sums[name] = (total + value, times + 1)

    def _means(self, part: str) -> dict[str, float]:
        means = {name: float(total) / times for name, (total, times) in self._sums.items() if name.startswith(part)}
        self._sums = {}
        return means

    def _fresh_draws(self, part: str) -> Draws:
        context = self._held[1]

        def generator(name: str) -> torch.Generator:
            made = torch.Generator(device=context.device)
            return made.manual_seed(stream_seed(context.seed, part, name))

        return Draws(generator("augmentation"), generator("noise"))


def warm_up_cosine(step: int, total: int) -> float:
    """Return the learning rate's factor at a step: linear over the first 5 %, then a half cosine to 0."""
    warm = max(1, round(WARM_UP * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def _tuple(classes: list[str] | None) -> tuple[str, ...] | None:
    return None if classes is None else tuple(classes)


def _tensors(split: Split, device: str) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
    labels = {name: torch.from_numpy(column).float().to(device) for name, column in split.labels.items()}
    return torch.from_numpy(split.x).to(device), torch.from_numpy(split.y).to(device), labels
