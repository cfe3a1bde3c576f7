"""A forward and a backward pass of each loss by each backend, ready to be timed or weighed."""

from __future__ import annotations

from losses.batches import batch

from cabench.losses.pairwise import joint_entropy, sepclr_pairwise, uniformity


def step(name, n, backend):
    """Return a function that computes a loss of spread codes (n, 32) and their gradients."""
    c, s, target = batch("spread", n)
    c.requires_grad_()
    # Like heads of a batch: background rows at 0.
    s = (s * target[:, None]).requires_grad_()
    loss = {
        "uniformity": lambda: uniformity(c, backend=backend),
        "joint_entropy": lambda: joint_entropy(c, s, backend=backend),
        "sepclr_pairwise": lambda: sum(sepclr_pairwise(c, s, target, backend=backend)),
    }[name]

    def run():
        c.grad = s.grad = None
        loss().backward()

    return run
