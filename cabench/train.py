"""The one place that builds a Lightning Trainer, and the base class of every trained method."""

from __future__ import annotations

import logging
import math
import signal
import threading
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from cabench.augment.views import Canvas, canvas, whole
from cabench.codes import Batch, Codes, Split
from cabench.errors import UserError
from cabench.method import Context, Method
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


class LightningMethod(Method):
    """A method trained by gradient descent: a subclass gives `build`, `training_loss` and `encode`.

    Attributes:
        needs_both_groups: whether background and target must both be there to train.
        networks_: the trained networks, after `fit`.
        history_: one dict per epoch: the mean of every loss term, raw and weighted.
        trend_: what the validation loss did when the budget ended (see `trend`); None without one.
    """

    needs_both_groups: ClassVar[bool] = True

    epochs: int
    batch_size: int
    learning_rate: float

    networks_: nn.ModuleDict
    canvas_: Canvas
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

    def fit(self, train: Split, validation: Split | None = None, context: Context = Context()) -> Self:
        """Train for the whole budget.

        Raises:
            UserError: the method needs both groups and `train` has fewer than two rows of one.
            RuntimeError: the loss became NaN.
        """
        if self.needs_both_groups and min(np.sum(train.y == 0), np.sum(train.y == 1)) < 2:
            raise UserError(f"'{self.name}' needs at least two background and two target images to train.")
        self.canvas_ = canvas(train)
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
        self.networks = method.networks_
        self.history: list[dict[str, float]] = []
        # Behind a tuple, so that Lightning registers neither as a part of the module.
        self._held = (method, context)
        self._sets = {"train": _tensors(train, context.device)}
        if validation is not None:
            self._sets["validation"] = _tensors(validation, context.device)
        self._draws = self._fresh_draws("train")
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def loader(self, split: Split, seed: int, shuffle: bool) -> DataLoader[Tensor]:
        rng = numpy_stream(seed, "sampler") if shuffle else None
        return DataLoader(_Batches(split.y, self._held[0].batch_size, rng), batch_size=None)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.Adam(self.networks.parameters(), lr=self._held[0].learning_rate)
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_up_cosine(step, total))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def training_step(self, rows: Tensor) -> Tensor:
        return self._step("train", rows, self._draws)

    def on_train_epoch_end(self) -> None:
        self.history.append(self._means("train"))
        if not math.isfinite(self.history[-1]["train/loss"]):
            raise RuntimeError(f"the loss became NaN at epoch {len(self.history)}")
        self.history[-1] |= self._validated
        self._validated = {}
        self._held[1].progress(len(self.history), self._held[0].epochs)

    _validated: dict[str, float] = {}  # noqa: RUF012 - replaced, never changed

    def on_validation_epoch_start(self) -> None:
        self._train_sums, self._train_steps = self._sums, self._steps
        self._sums, self._steps = {}, 0
        # The same views at every look, or the curve would show the draw.
        self._validation_draws = self._fresh_draws("validation")

    def validation_step(self, rows: Tensor) -> None:
        self._step("validation", rows, self._validation_draws)

    def on_validation_epoch_end(self) -> None:
        self._validated = self._means("validation")
        self._sums, self._steps = self._train_sums, self._train_steps

    def _step(self, part: str, rows: Tensor, draws: Draws) -> Tensor:
        x, y, labels = self._sets[part]
        rows = rows.to(x.device)
        batch = Batch(x[rows], y[rows], {name: column[rows] for name, column in labels.items()})
        terms = self._held[0].training_loss(batch, draws)
        loss = torch.stack([raw * weight for raw, weight in terms.values()]).sum()
        self._steps += 1
        for name, (raw, weight) in terms.items():
            self._add(f"{part}/{name}", raw.detach())
            self._add(f"{part}/{name}/weighted", raw.detach() * weight)
        self._add(f"{part}/loss", loss.detach())
        return loss

    def _add(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value

    def _means(self, part: str) -> dict[str, float]:
        means = {name: float(total) / self._steps for name, total in self._sums.items() if name.startswith(part)}
        self._sums, self._steps = {}, 0
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


def _tensors(split: Split, device: str) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
    labels = {name: torch.from_numpy(column).float().to(device) for name, column in split.labels.items()}
    return torch.from_numpy(split.x).to(device), torch.from_numpy(split.y).to(device), labels
