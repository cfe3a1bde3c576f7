"""One training step, looked at from outside: its batch, its random streams, its loss, and who gets a gradient."""

from __future__ import annotations

import torch

from cabench.codes import Batch
from cabench.train import Draws


def batch_of(split, rows=slice(None)):
    """Return rows of a split as a batch, with the labels that it carries."""
    labels = {name: torch.from_numpy(column[rows]).float() for name, column in split.labels.items()}
    return Batch.of(torch.from_numpy(split.x[rows]), torch.from_numpy(split.y[rows]), labels)


def draws(seed=0):
    return Draws(torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed))


def total(terms, *names):
    """Return the weighted sum of the terms, or of those named."""
    return sum(raw * weight for name, (raw, weight) in terms.items() if not names or name in names)


def touched(method, loss):
    """Return the names of the networks that a loss sends a gradient to; every gradient must be finite."""
    method.networks_.zero_grad(set_to_none=True)
    loss.backward()
    gradients = {
        name: [p.grad for p in network.parameters() if p.grad is not None]
        for name, network in method.networks_.items()
    }
    assert all(torch.isfinite(grad).all() for found in gradients.values() for grad in found)
    return {name for name, found in gradients.items() if any(grad.any() for grad in found)}


def touched_by_players(method, batch):
    """Return player -> the names of the networks that its loss sends a gradient to, with all others held."""
    found = {}
    for player in method.players():
        method.networks_.train().requires_grad_(False)
        for name in player.networks:
            method.networks_[name].requires_grad_(True)
        found[player.name] = touched(method, total(player.loss(batch, draws())))
    method.networks_.requires_grad_(True)
    return found
