"""One SepCLR step on 256 images of 32x32: as cabench computes it, and as one writes it down first."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cabench.codes import Batch, Split
from cabench.datasets.cifar_mnist import CifarMnist
from cabench.losses.backends import reference
from cabench.losses.pairwise import TEMPERATURE
from cabench.methods.sepclr import SepCLR
from cabench.train import Draws

SIDE = 32


def split(n):
    """Return n images of noise, every other one a target, seen as those of cifar_mnist but in full size."""
    x = np.random.default_rng(0).integers(0, 256, (n, 3, SIDE, SIDE), dtype=np.uint8)
    return Split(x, np.arange(n) % 2, augmentation=replace(CifarMnist.augmentation, size=SIDE))


def made(tier="quick", epochs=1):
    """Return the method of a tier."""
    settings = SepCLR.settings[tier]
    return SepCLR(**{**settings["*"], **settings["cifar_mnist"], "epochs": epochs})


def built(train, tier="quick"):
    """Return the method of a tier with fresh networks, which no step has moved."""
    method = made(tier)
    method.epochs = 0
    method.fit(train).networks_.train()
    return method


def bare(method, train):
    """Return a function that takes a step on the method's own losses, by rows; nothing but PyTorch around them."""
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    draws = Draws(torch.Generator().manual_seed(0), torch.Generator().manual_seed(0))
    adam = torch.optim.Adam(method.networks_.parameters(), method.learning_rate, fused=True)

    def step(rows):
        terms = method.training_loss(Batch.of(x[rows], y[rows]), draws)
        loss = torch.stack([raw * weight for raw, weight in terms.values()]).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss

    return step


def plain(method, train, device="cpu"):
    """Return the same step on kornia's views, boolean masks, the published losses and Adam as it comes."""
    twin = copy.copy(method)
    twin.networks_ = copy.deepcopy(method.networks_).to(device, memory_format=torch.contiguous_format)
    x, y = (torch.from_numpy(part).to(device) for part in (train.x, train.y))
    x = x.float() / 255
    augment = kornia_views(train.augmentation)
    adam = torch.optim.Adam(twin.networks_.parameters(), twin.learning_rate)

    def step(rows):
        with torch.no_grad():
            views = [augment(x[rows]) for _ in range(2)]
        loss = plain_loss(twin, views, y[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

    return step


def kornia_views(a):
    """Return kornia's augmentation with the ranges of ours."""
    import kornia.augmentation as K

    return nn.Sequential(
        K.RandomResizedCrop((a.size, a.size), scale=(a.crop, 1.0)),
        K.ColorJitter(a.brightness, a.contrast, a.saturation, a.hue, p=a.jitter),
        K.RandomGrayscale(p=a.grey),
    )


def plain_loss(method, views, y):
    """Return the loss of METHODS 2.1 on two views of a batch."""
    networks, target = method.networks_, y == 1
    c = [F.normalize(networks["common_head"](networks["common"](view))) for view in views]
    s = [networks["salient_head"](networks["salient"](view)) for view in views]
    loss = method.common_weight * distance(*c) + method.salient_weight * distance(s[0][target], s[1][target])
    for common, salient in zip(c, s, strict=True):
        zeroed = salient.clone()
        zeroed[~target] = 0
        loss = loss + method.common_weight * reference.uniformity(common)
        loss = loss + method.salient_weight * reference.uniformity(zeroed)
        loss = loss + method.mi_weight * reference.joint_entropy(common, zeroed) / 2
        loss = loss + method.null_weight * distance(salient[~target], torch.zeros_like(salient[~target])) / 2
    return loss


def distance(a, b):
    """Return the mean squared distance of rows, in temperatures."""
    return (a - b).norm(dim=1).pow(2).div(2 * TEMPERATURE).mean()
