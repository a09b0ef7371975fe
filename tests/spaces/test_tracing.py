"""Networks of every space under `torch.fx`, TorchScript and `torch.export`: the same bits as the network itself."""

import random

import pytest
import torch
from torch import fx

from genas.core.errors import ConfigError
from genas.spaces import open_space

SIZES = {
    "darts": {"cells": 3, "channels": 4},
    "nasbench201": {"cells_per_stage": 1, "channels": 4},
    "nasbench-macro": {"channels": 4, "tail_channels": 16},
}
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def build(name, seed, **options):
    space = open_space(name, **SIZES[name])
    space = space.final(**options) if options else space
    torch.manual_seed(seed)
    return space.network(5, space.sample(random.Random(seed)))


def outcome(network, run, images):
    """Output, gradients, batch statistics; the network is left as it was."""
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.zero_grad()
    torch.manual_seed(1)
    out = run(images)
    if torch.is_grad_enabled():
        out.square().sum().backward()
    gradients = {key: None if one.grad is None else one.grad.clone() for key, one in network.named_parameters()}
    after = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(before)
    return out.detach(), gradients, after


def same(first, second):
    assert torch.equal(first[0], second[0])
    for one, other in zip(first[1:], second[1:], strict=True):
        assert one.keys() == other.keys()
        assert all(one[key] is other[key] is None or torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("training", [False, True])
def test_one_trace_holds_for_every_size_layout_and_mode_of_gradients(name, training):
    network = build(name, 1).train(training)
    network.drop_path = 0.3
    traced = fx.symbolic_trace(network)
    for side in (16, 17):
        for layout in LAYOUTS:
            images = torch.randn(2, 3, side, side + 2).contiguous(memory_format=layout)
            for with_gradient in (True, False):
                with torch.set_grad_enabled(with_gradient):
                    same(outcome(network, traced, images), outcome(network, network, images))


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_the_auxiliary_head_is_traced_too(stem):
    network = build("darts", 3, stem=stem, auxiliary=True).train()

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, images):
            return sum(self.network.forward_with_auxiliary(images))

    traced = fx.symbolic_trace(Both())
    for side in (32, 37):
        images = torch.randn(2, 3, side, side)
        same(outcome(network, traced, images), outcome(network, Both(), images))


@pytest.mark.parametrize("name", SIZES)
def test_torchscript_compiles_the_traced_network(name):
    network = build(name, 2).train(name == "nasbench-macro")
    scripted = torch.jit.script(network)
    for side in (16, 17):
        for layout in LAYOUTS:
            images = torch.randn(2, 3, side, side).contiguous(memory_format=layout)
            found, wanted = (outcome(network, run, images) for run in (scripted, network))
            torch.testing.assert_close(found[0], wanted[0])


@pytest.mark.parametrize("name", SIZES)
def test_torch_export_keeps_to_the_network(name):
    network = build(name, 4).eval()
    images = torch.randn(2, 3, 16, 16)
    exported = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    images = torch.randn(5, 3, 16, 16)
    torch.testing.assert_close(exported.module()(images), network(images))


def test_what_cannot_be_traced_says_so():
    with pytest.raises(ConfigError, match="a supernet needs a path"):
        fx.symbolic_trace(open_space("nasbench201", **SIZES["nasbench201"]).network(5))
    network = build("nasbench201", 0).train()
    network.drop_path, network.drop_path_generator = 0.2, torch.Generator()
    with pytest.raises(ConfigError, match="drop-path has a generator of its own cannot be traced"):
        fx.symbolic_trace(network)


@pytest.mark.parametrize("name", SIZES)
def test_hooks_see_what_their_module_gave(name):
    """In-place ReLUs must not overwrite a map that a hook has taken."""
    network = build(name, 5).train()
    images = torch.randn(2, 3, 16, 16)
    wanted = network(images)
    caught, copies = {}, {}

    def catch(key):
        def hook(module, given, out):
            caught[key], copies[key] = out, out.clone()

        return hook

    for key, module in network.named_modules():
        if key.startswith(("stem", "cells", "layers")) and key.count(".") <= 1:
            module.register_forward_hook(catch(key))
    assert torch.equal(network(images), wanted)
    assert caught
    assert all(torch.equal(caught[key], copies[key]) for key in caught)
