"""Every function of `genas.spaces.kernels` equals torch's own, gradients included."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from genas.spaces import kernels, open_space

SIZES = [(8, 8), (7, 9), (1, 4), (5, 2)]


def random_images(channels: int, size: tuple[int, int], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    images = torch.randn(3, channels, *size, dtype=dtype).contiguous(memory_format=torch.channels_last)
    return images.requires_grad_()


def gradients(out: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    weights = torch.arange(out.numel(), dtype=out.dtype).reshape(out.shape).sin()
    return torch.autograd.grad((out * weights).sum(), inputs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("bias", [False, True])
def test_dilated_depthwise(size, stride, kernel, bias):
    convolution = nn.Conv2d(6, 6, kernel, stride, kernel - 1, dilation=2, groups=6, bias=bias).double()
    x = random_images(6, size)
    ours, theirs = kernels.dilated_depthwise(x, convolution.weight, convolution.bias, stride), convolution(x)
    torch.testing.assert_close(ours, theirs)
    inputs = (x, *convolution.parameters())
    for mine, wanted in zip(gradients(ours, *inputs), gradients(theirs, *inputs), strict=True):
        torch.testing.assert_close(mine, wanted)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_wide_depthwise(size, stride, dilation):
    convolution = nn.Conv2d(6, 6, 5, stride, 2 * dilation, dilation=dilation, groups=6, bias=False).double()
    x = random_images(6, size)
    ours, theirs = kernels.wide_depthwise(x, convolution.weight, stride, dilation), convolution(x)
    torch.testing.assert_close(ours, theirs)
    inputs = (x, convolution.weight)
    for mine, wanted in zip(gradients(ours, *inputs), gradients(theirs, *inputs), strict=True):
        torch.testing.assert_close(mine, wanted)


def test_concatenated_maps_get_the_gradients_of_torch_laid_out_densely():
    parts = [random_images(channels, (4, 6)) for channels in (2, 3)]
    found = []
    for join in (kernels.concatenate, lambda given: torch.cat(given, 1)):
        out = join(parts)
        found.append((out, *gradients(out, *parts)))
    for mine, wanted in zip(*found, strict=True):
        assert torch.equal(mine, wanted)
        assert mine.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("widths", [(3, 3), (2, 5)])
@pytest.mark.parametrize("bias", [False, True])
def test_shifted_pair(widths, bias):
    x = random_images(5, (8, 6))
    even, odd = (nn.Conv2d(5, width, 1, 2, bias=bias).double() for width in widths)
    ours = kernels.shifted_pair(x, even.weight, even.bias, odd.weight, odd.bias)
    theirs = torch.cat([even(x), odd(x[:, :, 1:, 1:])], 1)
    torch.testing.assert_close(ours, theirs)
    inputs = (x, *even.parameters(), *odd.parameters())
    for mine, wanted in zip(gradients(ours, *inputs), gradients(theirs, *inputs), strict=True):
        torch.testing.assert_close(mine, wanted)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
def test_pools(size, stride):
    x = random_images(4, size)
    ours = kernels.average_pool(x, stride)
    theirs = functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients(ours, x)[0], gradients(theirs, x)[0])
    with torch.no_grad():
        single = x.float().contiguous(memory_format=torch.channels_last)
        assert torch.equal(kernels.max_pool(single, stride), functional.max_pool2d(single, 3, stride, 1))


def test_max_pool_hands_nan_and_infinity_on():
    with torch.no_grad():
        x = torch.zeros(1, 2, 6, 6).contiguous(memory_format=torch.channels_last)
        x[0, 0, 2, 2], x[0, 1, 5, 0] = float("nan"), float("inf")
        torch.testing.assert_close(kernels.max_pool(x, 1), functional.max_pool2d(x, 3, 1, 1), equal_nan=True)


@pytest.mark.parametrize("name", ["darts", "nasbench201"])
def test_networks_compute_the_same_in_both_layouts(name):
    """The layout is the switch: contiguous images take torch's own operators everywhere."""
    sizes = {"darts": {"cells": 3, "channels": 4}, "nasbench201": {"cells_per_stage": 1, "channels": 4}}
    space = open_space(name, **sizes[name])
    torch.manual_seed(0)
    plain = space.network(3).double().train()
    fast = space.network(3).double().train()
    fast.load_state_dict(plain.state_dict())
    fast.to(memory_format=torch.channels_last)
    images = torch.randn(4, 3, 18, 18, dtype=torch.float64)
    for seed in range(4):
        path = space.sample(random.Random(seed))
        for network, given in ((plain, images), (fast, images.contiguous(memory_format=torch.channels_last))):
            network.zero_grad()
            network(given, path).square().sum().backward()
        theirs = dict(plain.named_parameters())
        for key, parameter in fast.named_parameters():
            assert (parameter.grad is None) == (theirs[key].grad is None)
            if parameter.grad is not None:
                torch.testing.assert_close(parameter.grad, theirs[key].grad, rtol=1e-7, atol=1e-9)


def steps_of(out: torch.Tensor) -> set[str]:
    """Names of what autograd does for `out`."""
    found, ahead = {}, [out.grad_fn]
    while ahead:
        step = ahead.pop()
        if step is not None and id(step) not in found:
            found[id(step)] = step
            ahead.extend(following for following, _ in step.next_functions)
    return {step.name() for step in found.values()}


@pytest.mark.parametrize(
    ("name", "own"),
    [("darts", {"_WideDepthwiseBackward", "_ConcatenationBackward"}), ("nasbench-macro", {"_WideDepthwiseBackward"})],
)
def test_fast_gradients_are_those_of_torch_up_to_rounding(name, own):
    sizes = {"darts": {"cells": 3, "channels": 4}, "nasbench-macro": {"channels": 4, "tail_channels": 16}}
    space = open_space(name, **sizes[name])
    torch.manual_seed(0)
    network = space.network(3).double().to(memory_format=torch.channels_last).train()
    images = torch.randn(4, 3, 18, 18, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    steps: dict[bool, set[str]] = {True: set(), False: set()}
    for seed in range(4):
        path, found = space.sample(random.Random(seed)), []
        for on in (True, False):
            network.zero_grad()
            with kernels.fast_gradients(on=on):
                out = network(images, path)
            out.square().sum().backward()
            found.append({key: one.grad for key, one in network.named_parameters() if one.grad is not None})
            steps[on] |= steps_of(out)
        assert found[0].keys() == found[1].keys()
        for key, gradient in found[0].items():
            torch.testing.assert_close(gradient, found[1][key], rtol=1e-7, atol=1e-9)
    assert own <= steps[True]
    assert not own & steps[False]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_batch_norm_in_training_rounds_as_is_said(layout):
    """benchmarks/README.md: coarser in the channels-last layout, but not coarser than this."""
    torch.manual_seed(0)
    x = torch.randn(64, 16, 32, 32) + 3

    def trained(given):
        norm = nn.BatchNorm2d(16).to(given.dtype).train()
        return norm(given.contiguous(memory_format=layout)).detach().double(), norm.running_mean.double()

    bound = 3e-5 if layout is torch.channels_last else 5e-7
    for found, wanted in zip(trained(x), trained(x.double()), strict=True):
        assert float((found - wanted).norm() / wanted.norm()) < bound
