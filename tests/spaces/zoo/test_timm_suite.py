"""The checks that timm's own test suite makes of its models, on the published networks at a small size.

`make test` takes two of them, ``make test-zoo`` all.
"""

import io

import pytest
import torch
from torch import fx, nn

import genas
from genas.core.errors import ConfigError

timm = pytest.importorskip("timm")
genas.zoo.register_timm()
SMALL = {"cells": 5, "channels": 4}
SAMPLE = ("fbs_c100", "dropnas_c10")
CHANNELS, REDUCTIONS = [4, 16, 32, 64], [4, 8, 16, 32]


def models():
    names = sorted(name.removeprefix("genas_") for name in genas.zoo.names())
    return [
        pytest.param(f"genas_{name}", marks=() if name in SAMPLE else pytest.mark.every_zoo_model) for name in names
    ]


@pytest.fixture(params=models())
def name(request):
    return request.param


def create(name, seed=0, **options):
    torch.manual_seed(seed)
    return timm.create_model(name, **{**SMALL, **options})


def test_the_sample_is_of_the_zoo():
    assert {*SAMPLE} < {name.removeprefix("genas_") for name in genas.zoo.names()}
    assert len(models()) == 26


def test_forward(name):
    out = create(name).eval()(torch.randn(1, 3, 96, 96))
    assert out.shape == (1, 1000)
    assert not out.isnan().any()


def test_backward_reaches_every_parameter(name):
    model = create(name, num_classes=42).train()
    out = model(torch.randn(2, 3, 64, 64))
    out.mean().backward()
    assert out.shape == (2, 42)
    assert not [key for key, parameter in model.named_parameters() if parameter.grad is None]


def test_default_cfg(name):
    model = create(name).eval()
    state, cfg = model.state_dict(), model.default_cfg
    assert model.pretrained_cfg == cfg
    assert cfg["architecture"] == name
    images = torch.randn(1, *cfg["input_size"])
    with torch.no_grad():
        maps = model.forward_features(images)
        assert maps.shape[-2:] == cfg["pool_size"]
        assert maps.shape[1] == model.num_features
        before = model.forward_head(maps, pre_logits=True)
        assert before.shape == (1, model.head_hidden_size)
        assert torch.equal(model.get_classifier()(before), model(images))
        model.reset_classifier(0)
        assert model.num_classes == 0
        assert torch.equal(model(images), before)
        model.reset_classifier(0, "")
        assert torch.equal(model(images), maps)
        model.reset_classifier(12, "avg")
        assert model.get_classifier().out_features == model.num_classes == 12
        assert model(images).shape == (1, 12)
    assert f"{cfg['classifier']}.weight" in state
    assert f"{cfg['first_conv']}.weight" in state
    assert model.get_submodule(cfg["first_conv"]).in_channels == 3


@pytest.mark.parametrize("how", ["getter", "fx", "hook"])
def test_features_only_is_the_same_by_every_way_of_extracting(name, how):
    model = create(name, features_only=True, feature_cls=how).eval()
    assert model.feature_info.channels() == CHANNELS
    assert model.feature_info.reduction() == REDUCTIONS
    images = torch.randn(2, 3, 96, 64)
    wanted = create(name).eval().features(images)
    found = model(images)
    assert len(found) == len(wanted)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_forward_intermediates(name):
    model = create(name).eval()
    images = torch.randn(1, 3, 96, 96)
    last, maps = model.forward_intermediates(images)
    assert [one.shape[1] for one in maps] == [info["num_chs"] for info in model.feature_info] == CHANNELS
    assert [96 // one.shape[2] for one in maps] == [info["reduction"] for info in model.feature_info] == REDUCTIONS
    assert torch.equal(last, model.forward_features(images))
    assert torch.equal(model.forward_head(last), model(images))
    for indices, places in ((2, [2, 3]), ([0, -1], [0, 3]), ([2, 1], [1, 2]), ([0], [0])):
        only = model.forward_intermediates(images, indices=indices, norm=True, intermediates_only=True)
        assert [one.shape for one in only] == [maps[place].shape for place in places]
        assert all(torch.equal(one, maps[place]) for one, place in zip(only, places, strict=True))
    ran = []
    handles = [cell.register_forward_hook(lambda *_: ran.append(1)) for cell in model.cells]
    for index, cells in enumerate([0, 1, 3, 5]):
        ran.clear()
        last, (only,) = model.forward_intermediates(images, indices=[index], stop_early=True)
        assert len(ran) == cells
        assert torch.equal(only, maps[index])
        assert torch.equal(last, maps[index])
    for handle in handles:
        handle.remove()
    with pytest.raises(ConfigError, match="output_fmt is 'NHWC'"):
        model.forward_intermediates(images, output_fmt="NHWC")


def keep(model: nn.Module, work):
    """What `work` gives, with the batch statistics of `model` as they were."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(3)
    out = work()
    model.load_state_dict(before)
    return out


@pytest.mark.parametrize("training", [False, True])
def test_a_traced_network_gives_the_same_bits(name, training):
    """One trace holds for every size, layout and mode of gradients."""
    model = create(name, drop_rate=0.2, drop_path_rate=0.3).train(training)
    traced = fx.symbolic_trace(model)
    for side in (64, 65):
        for layout in (torch.contiguous_format, torch.channels_last):
            images = torch.randn(2, 3, side, side).contiguous(memory_format=layout)
            with torch.set_grad_enabled(side != 65):
                wanted = keep(model, lambda images=images: model(images))
                assert torch.equal(keep(model, lambda images=images: traced(images)), wanted)


def test_torchvision_takes_maps_out(name):
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    model = create(name)
    nodes = get_graph_node_names(model)
    assert nodes[0][-1] == nodes[1][-1] == "classifier"
    extractor = create_feature_extractor(model, {"cells.0": "first", "cells.2": "middle", "classifier": "logits"})
    images = torch.randn(2, 3, 64, 64)
    for training in (True, False):
        model.train(training)
        extractor.train(training)
        caught = {}
        handles = [
            model.cells[place].register_forward_hook(lambda _, __, out, key=key, to=caught: to.update({key: out}))
            for place, key in ((0, "first"), (2, "middle"))
        ]
        caught["logits"] = keep(model, lambda: model(images))
        for handle in handles:
            handle.remove()
        found = keep(extractor, lambda: extractor(images))
        assert found.keys() == caught.keys()
        assert all(torch.equal(found[key], value) for key, value in caught.items())
        assert found["first"].min() < 0  # not overwritten by the next cell's ReLU


def test_torchscript(name):
    model = create(name).eval()
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(model), file)
    file.seek(0)
    scripted = torch.jit.load(file)
    assert scripted.state_dict().keys() == model.state_dict().keys()
    for side in (64, 65):
        images = torch.randn(2, 3, side, side).contiguous(memory_format=torch.channels_last)
        for with_gradient in (True, False):
            with torch.set_grad_enabled(with_gradient):
                torch.testing.assert_close(scripted(images), model(images))
