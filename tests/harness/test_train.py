"""What the base class of trained methods promises of its networks."""

import pytest
import torch

from cabench.methods.sepclr import SepCLR
from cabench.testing import tiny_split

LAYOUTS = {"colour": torch.channels_last, "volume": torch.channels_last_3d}


@pytest.mark.parametrize(("kind", "layout"), LAYOUTS.items(), ids=LAYOUTS)
def test_convolutions_have_their_channels_last_when_fitted_and_when_restored(kind, layout):
    fitted = SepCLR(epochs=1, batch_size=24).fit(tiny_split(kind).blind())
    restored = SepCLR().restore(fitted.state())
    for method in (fitted, restored):
        kernels = [p for p in method.networks_.parameters() if p.ndim > 2 and p.shape[1] > 1]
        assert kernels and all(p.is_contiguous(memory_format=layout) for p in kernels)
