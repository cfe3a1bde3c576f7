"""Every measurement runs on one thread: two on shared cores wait for each other."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Restore the number of threads afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
