"""A training step asks the device for no number: what would make a GPU wait for the program, seen on the CPU."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cabench import registry
from cabench.losses import backends
from cabench.params import declared
from cabench.spec import signature_defaults
from cabench.testing import SMALL, tiny_split

TRAINED = {
    name: cls
    for name, found in registry.find("method").items()
    if "epochs" in signature_defaults(cls := found.load())
}
# Every word that a parameter may be, one at a time; the first is the default.
WORDS = [
    (name, {parameter: word})
    for name, cls in TRAINED.items()
    for parameter, may in declared(cls).items()
    for word in may.get("choices", ())[1:]
    if parameter != "backbone"
]
CASES = [*((name, {}) for name in TRAINED), *WORDS, ("sepclr", {"mi_term": "vub", "mi_rows": "all"})]


class Waits(TorchDispatchMode):
    """Counts the operations whose result the program must know to go on: a number, the rows of a mask."""

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "equal"):
            self.seen[name] += 1
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            self.seen["mask"] += any(at is not None and at.dtype == torch.bool for at in args[1])
        return function(*args, **(kwargs or {}))


def waits(name, params, batches):
    """Return what an epoch of so many batches asked for."""
    cls, size = registry.find("method")[name].load(), 24
    known = signature_defaults(cls)
    small = {key: value for key, value in SMALL.items() if key in known} | {"epochs": 1, "batch_size": size}
    small |= params
    with Waits() as seen:
        cls(**small).fit(tiny_split(n=size * batches))
    return seen.seen


@pytest.mark.parametrize(("name", "params"), CASES)
def test_a_longer_epoch_waits_no_more_often(name, params, monkeypatch):
    # The tiles of the CPU look at their sums; a GPU has Triton's kernels, which do not.
    monkeypatch.setattr(backends, "choose", lambda x: "reference")
    short, long = waits(name, params, 1), waits(name, params, 2)
    assert short["_local_scalar_dense"] > 0  # the means of the epoch
    assert long == short


def test_every_word_of_a_parameter_is_looked_at():
    assert {("sepclr", "mi_term"), ("cvae", "tc"), ("mmcvae", "track")} <= {
        (name, *params) for name, params in WORDS
    }


def test_a_mask_is_seen():
    x = torch.arange(4)
    with Waits() as seen:
        x[x > 1]
        x[x > 1] = 0
    assert seen.seen["mask"] == 2
