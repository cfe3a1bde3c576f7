"""A SepCLR step written down slowly: METHODS 2.1 on the small encoder, in float64, one pair of rows at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F

TAU = 0.5


def doubled(networks):
    """Return the parameters, with gradients, and the running statistics of networks, in float64."""
    state = {name: value.detach().double().clone() for name, value in networks.state_dict().items()}
    for name, _ in networks.named_parameters():
        state[name].requires_grad_()
    return state


def slow_norm(x, p, name):
    """Batch normalisation by the batch's own mean and variance, which the running ones follow."""
    over = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    centred = x - x.mean(over, keepdim=True)
    variance = centred.square().mean(over, keepdim=True)
    count = x.numel() / x.shape[1]
    with torch.no_grad():
        p[f"{name}.running_mean"] += 0.1 * (x.mean(over) - p[f"{name}.running_mean"])
        unbiased = variance.flatten() * count / (count - 1)
        p[f"{name}.running_var"] += 0.1 * (unbiased - p[f"{name}.running_var"])
    scaled = centred / (variance + 1e-5).sqrt()
    return scaled * p[f"{name}.weight"].view(shape) + p[f"{name}.bias"].view(shape)


def slow_head(space, view, p):
    x = view.double()
    for layer in (0, 3, 6, 9):
        x = F.conv2d(x, p[f"{space}.features.{layer}.weight"], stride=2, padding=1)
        x = slow_norm(x, p, f"{space}.features.{layer + 1}").clamp(min=0)
    # The map has a side of 1 here, which pooling to a side of 2 repeats.
    code = x.repeat(1, 1, 2, 2).flatten(1) @ p[f"{space}.code.weight"].T + p[f"{space}.code.bias"]
    hidden = code @ p[f"{space}_head.0.weight"].T + p[f"{space}_head.0.bias"]
    hidden = slow_norm(hidden, p, f"{space}_head.1").clamp(min=0)
    return hidden @ p[f"{space}_head.3.weight"].T + p[f"{space}_head.3.bias"]


def slow_step(seen, y, p, salient_weight, null_weight, joint_weight):
    """METHODS 2.1 on tensors, one pair of rows at a time, for double autograd."""
    n, loss = len(y), torch.zeros((), dtype=torch.float64)
    target, background = [i for i in range(n) if y[i]], [i for i in range(n) if not y[i]]

    def gap(a, b):
        return (a - b).square().sum() / (2 * TAU)

    def uniformity(a):
        return torch.stack([(-gap(a[i], a[j])).exp() for i in range(n) for j in range(i + 1, n)]).mean().log()

    heads = {space: [slow_head(space, view, p) for view in seen] for space in ("common", "salient")}
    c = [torch.stack([row / row.square().sum().sqrt() for row in view]) for view in heads["common"]]
    s = heads["salient"]
    loss = loss + torch.stack([gap(c[0][i], c[1][i]) for i in range(n)]).mean()
    loss = loss + salient_weight * torch.stack([gap(s[0][i], s[1][i]) for i in target]).mean()
    for v in range(2):
        zeroed = torch.stack([s[v][i] * y[i] for i in range(n)])
        loss = loss + uniformity(c[v]) + salient_weight * uniformity(zeroed)
        nulls = torch.stack([gap(s[v][i], torch.zeros_like(s[v][i])) for i in background])
        loss = loss + null_weight * nulls.mean() / 2
        for i in range(n):
            near = [(-gap(c[v][i], c[v][j]) - gap(zeroed[i], zeroed[j])).exp() for j in range(n)]
            loss = loss + joint_weight * torch.stack(near).mean().log() / n / 2
    return loss
