"""What the tests of the VAEs share: batches, who gets a gradient, who moves, and each image in slow float64."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from training_step import draws, total

from cabench.augment.views import whole
from cabench.losses.density_ratio import deranged

SMALL = {"common_dim": 6, "salient_dim": 5, "epochs": 1, "batch_size": 12}


def fitted(method, make_split, **parameters):
    """Return a small method of a class, fitted on a few images."""
    return method(**SMALL | parameters).fit(make_split().blind())


def evidence(method, rows):
    """METHODS 2.5: the part that every published loss sums over a batch, image by image."""
    loss = 0.0
    for image in rows:
        loss += image.squared_error + method.common_beta * image.kl_c
        if image.y:
            loss += method.salient_beta * image.kl_s
    return loss


def weights_of(terms):
    return {name: weight for name, (_, weight) in terms.items()}


def salient_gradient(method, batch, *names):
    """Return the gradient of terms with respect to the salient network's output (n, 2 d): means, log-variances."""
    outputs = []
    hook = method.networks_["salient"].register_forward_hook(lambda module, args, out: outputs.append(out))
    terms = method.training_loss(batch, draws())
    hook.remove()
    (output,) = outputs
    output.retain_grad()
    total(terms, *names).backward()
    return output.grad


def decoder_input(method, batch):
    """Return the common and the salient codes that a training step decodes."""
    inputs = []
    hook = method.networks_["decoder"].register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    method.training_loss(batch, draws())
    hook.remove()
    (code,) = inputs
    return code[:, : method.common_dim], code[:, method.common_dim :]


def moved_by_each_step(method, split, monkeypatch):
    """Fit a method and return, per step of an optimiser, the names of the networks whose parameters it moved."""
    moved = []
    step = torch.optim.Adam.step

    def watched(self, *args, **kwargs):
        before = copy.deepcopy(method.networks_.state_dict())
        out = step(self, *args, **kwargs)
        parameters = dict(method.networks_.named_parameters())
        moved.append({name.split(".")[0] for name, p in parameters.items() if not torch.equal(before[name], p)})
        return out

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    method.fit(split)
    return moved


def moments_at_each_step(method, split, monkeypatch):
    """Fit a method and return, per step of an optimiser, how many parameters it remembers moments of."""
    known = []
    step = torch.optim.Adam.step

    def watched(self, *args, **kwargs):
        known.append(len(self.state))
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    method.fit(split)
    return known


@dataclass
class Image:
    """One image of a training step on its way through the networks, in lists of Python floats."""

    y: int
    x: list
    decoded: list
    mean_c: list
    var_c: list
    c: list
    mean_s: list
    var_s: list
    s: list

    @property
    def squared_error(self):
        return sum((a - b) ** 2 for a, b in zip(self.x, self.decoded, strict=True))

    @property
    def kl_c(self):
        return kl(self.mean_c, self.var_c)

    @property
    def kl_s(self):
        return kl(self.mean_s, self.var_s)


def kl(means, variances):
    return sum(0.5 * (m * m + v - 1 - math.log(v)) for m, v in zip(means, variances, strict=True))


def images(method, batch, background_variance=None):
    """Return each image of a batch as float64 networks in evaluation mode see it, with the noise of `draws()`."""
    networks = copy.deepcopy(method.networks_).double().eval()
    x = whole(batch.x, method.canvas_.size).double()
    noise = torch.Generator().manual_seed(0)
    eps = [torch.randn((len(x), dim), generator=noise).double() for dim in (method.common_dim, method.salient_dim)]
    made = []
    with torch.no_grad():
        for i, y in enumerate(batch.y.tolist()):
            mean_c, log_c = networks["common"](x[i : i + 1])[0].chunk(2)
            mean_s, log_s = networks["salient"](x[i : i + 1])[0].chunk(2)
            var_c, var_s = log_c.exp(), log_s.exp()
            if background_variance is not None and y == 0:
                var_s = torch.full_like(var_s, background_variance)
            c, s = mean_c + var_c.sqrt() * eps[0][i], mean_s + var_s.sqrt() * eps[1][i]
            decoded = networks["decoder"](torch.cat([c, s if y else torch.zeros_like(s)])[None])[0]
            rows = (x[i].flatten(), decoded.flatten(), mean_c, var_c, c, mean_s, var_s, s)
            made.append(Image(y, *(row.tolist() for row in rows)))
    return made


def logits(method, name, rows):
    """Return the logits of a network for lists of floats, in float64."""
    network = copy.deepcopy(method.networks_[name]).double()
    with torch.no_grad():
        return [network(torch.tensor(row, dtype=torch.float64)).item() for row in rows]


def cross_entropy(method, rows, n):
    """Return the discriminator's loss summed over rows, the images that it sees of a batch of n, in float64."""
    noise = draws().noise
    for dim in (method.common_dim, method.salient_dim):
        torch.randn(n, dim, generator=noise)  # partners are drawn after the samples
    order = deranged(torch.arange(len(rows))[:, None], noise)[:, 0].tolist()
    own = logits(method, "discriminator", [image.c + image.s for image in rows])
    others = logits(method, "discriminator", [image.c + rows[k].s for image, k in zip(rows, order, strict=True)])
    return sum(softplus(-value) for value in own) + sum(softplus(value) for value in others)


def softplus(value):
    return math.log1p(math.exp(-abs(value))) + max(value, 0)
