"""BatchNorm whose running statistics stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def still_statistics(*networks: nn.Module) -> Iterator[None]:
    """Normalise by the batch as in training, but keep the running statistics of every BatchNorm as they are.

    For passes that are not the networks' own: of images that a generator drew, or in another player's step. Codes
    are computed with the running statistics, which shall be those of the data and of the last step.
    """
    norms = [module for network in networks for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
