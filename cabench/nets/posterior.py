"""The variational posterior q(s | c) of the bounds of mutual information."""

from __future__ import annotations

from torch import Tensor, nn

HIDDEN = 128


class Posterior(nn.Module):
    """Two 2-layer networks from a common code to mean and log-variance of a salient code (METHODS 2.3).

    The log-variance ends in a tanh, so that a variance is at least 1/e: q cannot collapse onto the background
    rows, all of which have the salient code 0.

    Shape: (n, common_dim) -> two of (n, salient_dim).
    """

    def __init__(self, common_dim: int, salient_dim: int) -> None:
        super().__init__()
        self.mean = _two_layers(common_dim, salient_dim)
        self.logvar = nn.Sequential(*_two_layers(common_dim, salient_dim), nn.Tanh())

    def forward(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance."""
        return self.mean(c), self.logvar(c)


def _two_layers(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))
