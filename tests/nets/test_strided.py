"""Stacks of strided convolutions: sides, order of layers, and the last image."""

import pytest
import torch
from torch import nn

from cabench.nets.strided import Strided

AXES = [2, 3]


def run(layers, width, side, axes):
    torch.manual_seed(0)
    return nn.Sequential(*layers)(torch.randn(2, width, *[side] * axes))


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("kernel", [3, 4])
def test_strided_convolutions_halve_the_side_and_transposed_ones_double_it(kernel, axes):
    convolutions = Strided(axes, kernel=kernel)
    assert run(convolutions.down(3, 5, 7), 3, 28, axes).shape == (2, 7, *[7] * axes)
    assert run(convolutions.up(7, 5, 3), 7, 7, axes).shape == (2, 3, *[28] * axes)
    assert run(convolutions.image(7, 1), 7, 14, axes).shape == (2, 1, *[28] * axes)


@pytest.mark.parametrize("axes", AXES)
def test_without_padding_a_kernel_turns_its_side_into_1_and_back(axes):
    convolutions = Strided(axes, stride=1, padding=0)
    assert run(convolutions.down(3, 5), 3, 4, axes).shape == (2, 5, *[1] * axes)
    assert run(convolutions.up(5, 3), 5, 1, axes).shape == (2, 3, *[4] * axes)


@pytest.mark.parametrize("axes", AXES)
def test_with_stride_1_an_odd_kernel_keeps_the_side(axes):
    assert run(Strided(axes, kernel=3, stride=1).image(5, 3), 5, 6, axes).shape == (2, 3, *[6] * axes)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("make", ["down", "up"])
def test_the_activation_follows_each_convolution_and_the_norm_the_activation(make, axes):
    kinds = [type(layer).__name__ for layer in getattr(Strided(axes, norm=True, slope=0.2), make)(3, 5, 7)]
    conv = "Conv" if make == "down" else "ConvTranspose"
    assert kinds == [f"{conv}{axes}d", "LeakyReLU", f"BatchNorm{axes}d"] * 2
    plain = [type(layer).__name__ for layer in getattr(Strided(axes), make)(3, 5)]
    assert plain == [f"{conv}{axes}d", "ReLU"]


def test_bias_and_slope_are_those_of_the_method():
    layers = [*Strided(2, bias=False, slope=0.2).down(3, 5), *Strided(2, bias=False).image(5, 3)]
    assert layers[0].bias is None and layers[2].bias is None and layers[1].negative_slope == 0.2
    assert Strided(2).down(3, 5)[0].bias is not None and Strided(2).image(5, 3)[0].bias is not None


def test_an_image_lies_between_0_and_1():
    out = nn.Sequential(*Strided(2).image(4, 3))(100 * torch.randn(4, 4, 8, 8))
    assert out.min() >= 0 and out.max() <= 1 and out.std() > 0.1


@pytest.mark.parametrize("axes", AXES)
def test_numbers_become_a_map(axes):
    out = Strided(axes).unflatten(4, 3)(torch.zeros(2, 4 * 3**axes))
    assert out.shape == (2, 4, *[3] * axes)
