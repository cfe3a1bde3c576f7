"""The training loop, the one place that builds a Lightning Trainer: on each batch players step in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch.utils.data import DataLoader, IterableDataset

from cabench.codes import Batch, Split
from cabench.isolation import interruptible
from cabench.method import Context
from cabench.nets.batchnorm import still_statistics
from cabench.player import Draws, Player, Trend
from cabench.replay import Replayed, Step
from cabench.seeds import numpy_stream, stream_seed

if TYPE_CHECKING:
    from cabench.train import LightningMethod

WARM_UP = 0.05  # share of the steps
# A validation loss is flat while it moves by less than this share of all that was gained.
FLAT_SHARE = 0.05
VALIDATIONS = 10  # how often the validation loss is looked at during a fit
# Of each accelerator; "mixed": convolutions and products in bfloat16, parameters and pairwise losses in float32.
PRECISION: dict[str, Literal["32-true", "bf16-mixed"]] = {"cpu": "32-true", "gpu": "bf16-mixed"}


def train_networks(
    method: LightningMethod, train: Split, validation: Split | None, context: Context
) -> tuple[list[dict[str, float]], Trend | None]:
    """Train a method's networks for its whole budget; return one dict of means per epoch, and the trend.

    An interrupted fit goes on from the checkpoint of the context, and gives the numbers of one that was not.

    Raises:
        RuntimeError: a loss became NaN or infinite.
    """
    module = _Module(method, train, validation, context)
    begun = context.checkpoint.read() if context.checkpoint else None
    accelerator = "gpu" if context.device.startswith("cuda") else "cpu"
    trainer = pl.Trainer(
        max_epochs=method.epochs,
        accelerator=accelerator,
        precision=PRECISION[accelerator],
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=max(1, method.epochs // VALIDATIONS),
    )
    # A signal keeps the meaning that the harness gave it; Lightning has no public way to ask for that.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    if begun is not None:
        module.resume(begun)
        epochs: Any = trainer.fit_loop.epoch_progress.current
        epochs.processed = epochs.completed = len(module.history)
    watched = None if validation is None else module.loader(validation, shuffle=False)
    with interruptible():
        trainer.fit(module, module.loader(train, shuffle=True), watched)
    history = module.history
    return history, trend([epoch["validation/loss"] for epoch in history if "validation/loss" in epoch])


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


def warm_up_cosine(step: int, total: int) -> float:
    """Return the learning rate's factor at a step: linear over the first 5 %, then a half cosine to 0."""
    warm = max(1, round(WARM_UP * total))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


class _Batches(IterableDataset[list[Tensor]]):
    """Yields the row numbers of one batch after another, by group, in a new order in each epoch."""

    def __init__(self, y: np.ndarray, size: int, rng: np.random.Generator | None) -> None:
        self._y, self._size, self._rng = y, size, rng

    def __len__(self) -> int:
        return max(1, len(self._y) // self._size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        for rows in stratified_batches(self._y, self._size, self._rng):
            yield [torch.from_numpy(rows[self._y[rows] == group]) for group in (0, 1)]


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
        self._order = numpy_stream(context.seed, "sampler")
        self._begun: dict[str, Any] = {}
        self._validated: dict[str, float] = {}
        self._sums: dict[str, tuple[Tensor, int]] = {}
        self._steps = [self._step_of(player) for player in self._players]

    def loader(self, split: Split, shuffle: bool) -> DataLoader[list[Tensor]]:
        order = self._order if shuffle else None
        # A generator of its own: by default each pass over the data draws from the global one.
        own = torch.Generator()
        return DataLoader(_Batches(split.y, self._held[0].batch_size, order), batch_size=None, generator=own)

    def resume(self, state: dict[str, Any]) -> None:
        """Take a state of `_state`: networks and streams now, optimisers when Lightning makes them."""
        self._begun, self.history = state, state["history"]
        self.networks.load_state_dict(state["networks"])
        self._order.bit_generator.state = state["order"]
        for generator, at in zip(self._generators(), state["generators"], strict=True):
            generator.set_state(at)

    def _state(self) -> dict[str, Any]:
        """Return all that the next epoch depends on."""
        return {
            "history": self.history,
            "networks": self.networks.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.trainer.optimizers],
            "schedulers": [config.scheduler.state_dict() for config in self.trainer.lr_scheduler_configs],
            "order": self._order.bit_generator.state,
            "generators": [generator.get_state() for generator in self._generators()],
        }

    def _generators(self) -> list[torch.Generator]:
        """Return every stream of torch, those of layers that draw from the global one included."""
        device = self._draws.noise.device
        own = [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []
        return [self._draws.augmentation, self._draws.noise, torch.default_generator, *own]

    def configure_optimizers(self) -> Any:
        total = int(self.trainer.estimated_stepping_batches)
        made: list[Any] = []
        for player in self._players:
            moving, rate = self._parameters_of(player), player.learning_rate
            adam = torch.optim.Adam(moving, lr=rate, betas=player.betas, fused=True)
            scheduler = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: warm_up_cosine(step, total))
            made.append({"optimizer": adam, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}})
        for new, optimizer, scheduler in zip(
            made, self._begun.get("optimizers", ()), self._begun.get("schedulers", ()), strict=False
        ):
            new["optimizer"].load_state_dict(optimizer)
            new["lr_scheduler"]["scheduler"].load_state_dict(scheduler)
        return made

    def training_step(self, groups: list[Tensor]) -> None:
        optimisers, schedulers = _listed(self.optimizers()), _listed(self.lr_schedulers())
        for player, step, optimiser, scheduler in zip(
            self._players, self._steps, optimisers, schedulers, strict=True
        ):
            for _ in range(player.steps):
                optimiser.zero_grad()
                self._add(step(groups))
                with record_function("optimiser"):
                    optimiser.step()
            scheduler.step()

    def on_train_epoch_end(self) -> None:
        every = self._held[0].optimizer_reset_epochs
        if every and (len(self.history) + 1) % every == 0:
            for optimiser in self.trainer.optimizers:
                optimiser.state.clear()
        self.history.append(self._means("train"))
        if not all(math.isfinite(mean) for name, mean in self.history[-1].items() if name.endswith("/loss")):
            raise RuntimeError(f"the loss became NaN or infinite at epoch {len(self.history)}")
        self.history[-1] |= self._validated
        self._validated = {}
        method, context = self._held
        if context.checkpoint:
            context.checkpoint.write(len(self.history), self._state())
        context.progress(len(self.history), method.epochs)

    def on_train_end(self) -> None:
        # What was recorded holds memory of a GPU, and refers to this module, which refers to it.
        self._steps.clear()

    def on_validation_epoch_start(self) -> None:
        self._train_sums, self._sums = self._sums, {}
        # The same views at every look, or the curve would show the draw.
        self._validation_draws = self._fresh_draws("validation")

    def validation_step(self, groups: list[Tensor]) -> None:
        _, told = self._loss("validation", self._players[-1], groups, self._validation_draws)
        self._add(told)

    def on_validation_epoch_end(self) -> None:
        self._validated = self._means("validation")
        self._sums = self._train_sums

    def _step_of(self, player: Player) -> Step:
        """Return what computes a player's terms and gradients: as it is, or on a GPU from a recording."""
        method, context = self._held

        def step(groups: list[Tensor]) -> dict[str, Tensor]:
            with self._moving(player):
                loss, told = self._loss("train", player, groups, self._draws)
                with record_function("backward"):
                    self.manual_backward(loss)
            return told

        if context.device.startswith("cuda") and method.replayed:
            draws = (self._draws.augmentation, self._draws.noise)
            return Replayed(step, self._parameters_of(player), draws)
        return step

    def _loss(
        self, part: str, player: Player, groups: list[Tensor], draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, and it and its terms by their names in the history, without gradients."""
        x, y, labels = self._sets[part]
        rows = torch.cat(groups).to(x.device)
        background, target = torch.arange(len(rows), device=x.device).split([len(group) for group in groups])
        labels = {name: column[rows] for name, column in labels.items()}
        batch = Batch(x[rows], y[rows], labels, (background, target))
        with record_function("losses"):
            terms = player.loss(batch, draws)
        loss = torch.stack([raw * weight for raw, weight in terms.values()]).sum()
        whose = part if player is self._players[-1] else f"{part}/{player.name}"
        told: dict[str, Tensor] = {}
        for name, (raw, weight) in terms.items():
            told[f"{whose}/{name}"] = raw.detach()
            told[f"{whose}/{name}/weighted"] = raw.detach() * weight
        told[f"{whose}/loss"] = loss.detach()
        return loss, told

    def _parameters_of(self, player: Player) -> list[nn.Parameter]:
        return [p for name in player.networks for p in self.networks[name].parameters()]

    @contextmanager
    def _moving(self, player: Player) -> Iterator[None]:
        """Hold every network but the player's still, parameters and statistics; gradients pass through them."""
        held = [network for name, network in self.networks.items() if name not in player.networks]
        for network in held:
            network.requires_grad_(False)
        try:
            with still_statistics(*held):
                yield
        finally:
            self.networks.requires_grad_(True)

    def _add(self, told: dict[str, Tensor]) -> None:
        for name, value in told.items():
            total, times = self._sums.get(name, (torch.zeros_like(value, dtype=torch.float32), 0))
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


def _listed(given: Any) -> list[Any]:
    """Return Lightning's optimisers or schedulers, of which it gives a single one as it is."""
    return given if isinstance(given, list) else [given]


def _tensors(split: Split, device: str) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
    labels = {name: torch.from_numpy(column).float().to(device) for name, column in split.labels.items()}
    return torch.from_numpy(split.x).to(device), torch.from_numpy(split.y).to(device), labels
