"""Fixtures of the tests of methods."""

from __future__ import annotations

import pytest
import torch

from cabench.testing import tiny_split


@pytest.fixture(autouse=True)
def one_thread():
    """Train on one thread: the nets are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_split():
    """The maker of tiny splits."""
    return tiny_split
