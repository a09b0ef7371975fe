"""The published networks in timm: registration by hand, timm's interface, one step of training."""

import copy
import subprocess
import sys

import pytest
import torch

import genas
from genas.core.errors import ConfigError
from genas.spaces import open_space
from genas.spaces.zoo.costs import costs

timm = pytest.importorskip("timm")
genas.zoo.register_timm()
SMALL = {"cells": 5, "channels": 4, "num_classes": 7}


@pytest.mark.parametrize("imports", ["import timm, genas", "import genas", "import genas, timm.models"])
def test_known_to_timm_in_any_order_of_imports(imports):
    code = (
        f"import warnings; warnings.simplefilter('error'); {imports}; genas.zoo.register_timm(); import timm"
        "; genas.zoo.register_timm()"
        "; assert len(timm.list_models('genas_*')) == 26, timm.list_models('genas_*')"
        "; model = timm.create_model('genas_fbs_c100', num_classes=3, cells=3, channels=4)"
        "; assert model.get_classifier().out_features == 3"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_genas_leaves_timm_and_the_import_machinery_alone():
    code = (
        "import sys; before = [*sys.meta_path], [*sys.path_hooks]; import genas"
        "; assert ([*sys.meta_path], [*sys.path_hooks]) == before"
        "; assert not {'torch', 'timm', 'ctypes', 'genas.core.allocator'} & {*sys.modules}"
        "; import timm; assert not timm.list_models('genas_*')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


def test_without_timm_one_sentence_says_what_to_install():
    code = (
        "import importlib.machinery as m\n"
        "real = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = classmethod(lambda c, n, p=None, t=None: None if n == 'timm' else real(n, p, t))\n"
        "import genas\n"
        "try:\n"
        "    genas.zoo.register_timm()\n"
        "except genas.GenasError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "timm is not installed; install it with: pip install 'genas[timm]'.", done.stderr


def test_every_network_of_the_zoo_has_its_name_and_size():
    assert {*timm.list_models("genas_*")} == {f"genas_{name.removeprefix('genas_')}" for name in genas.zoo.names()}
    for name in ("genas_fbs_c100", "rlnas_c10"):
        with torch.device("meta"):
            model = timm.create_model(f"genas_{name.removeprefix('genas_')}")
        assert sum(parameter.numel() for parameter in model.parameters()) == costs(name).params
        assert model.default_cfg["input_size"] == (3, 224, 224)
    with torch.device("meta"):
        model = timm.create_model("genas_rlnas_c10", channels=36, cells=20, stem="cifar", num_classes=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == costs("rlnas_c10", "cifar").params


def test_weights_pass_in_both_directions_and_give_the_same_function():
    model = timm.create_model("genas_fbs_c100", in_chans=1, **SMALL).eval()
    space = open_space("darts").final(cells=5, channels=4, stem="imagenet")
    network = space.network(7, genas.zoo.load("genas_fbs_c100").architecture, 1).eval()
    network.load_state_dict(model.state_dict())
    images = torch.randn(2, 1, 64, 48)
    torch.testing.assert_close(model(images), network(images))
    model.load_state_dict(network.state_dict())
    torch.testing.assert_close(model.forward_head(model.forward_features(images)), model(images))
    torch.testing.assert_close(
        model.classifier(model.forward_head(model.forward_features(images), True)), model(images)
    )


def test_equal_seeds_give_equal_weights():
    torch.manual_seed(0)
    model = timm.create_model("genas_fbs_c100", **SMALL)
    torch.manual_seed(0)
    space = open_space("darts").final(cells=5, channels=4, stem="imagenet")
    network = space.network(7, genas.zoo.load("genas_fbs_c100").architecture)
    theirs = network.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())


def test_the_classifier_can_be_replaced_and_removed():
    model = timm.create_model("genas_fbs_c100", **SMALL).eval()
    images = torch.randn(2, 3, 64, 64)
    assert model.get_classifier().out_features == model.num_classes == 7
    model.reset_classifier(3)
    assert model(images).shape == (2, 3)
    model.reset_classifier(0)
    assert model(images).shape == (2, 64)
    model.reset_classifier(0, "")
    assert model(images).shape == (2, 64, 2, 2)
    assert timm.create_model("genas_fbs_c100", **{**SMALL, "num_classes": 0})(images).shape == (2, 64)


@pytest.mark.parametrize(
    ("options", "channels", "reductions"),
    [
        ({}, [4, 16, 32, 64], [4, 8, 16, 32]),
        ({"out_indices": (1, 3)}, [16, 64], [8, 32]),
        ({"out_indices": (0,)}, [4], [4]),
        ({"out_indices": (1, 2)}, [16, 32], [8, 16]),
        ({"out_indices": (-1,)}, [64], [32]),
        ({"stem": "cifar"}, [16, 32, 64], [1, 2, 4]),
    ],
)
def test_features_only_gives_the_maps_it_announces(options, channels, reductions):
    torch.manual_seed(1)
    model = timm.create_model("genas_fbs_c100", features_only=True, cells=5, channels=4, **options).eval()
    torch.manual_seed(1)
    whole = timm.create_model(
        "genas_fbs_c100", cells=5, channels=4, **{key: value for key, value in options.items() if key == "stem"}
    ).eval()
    assert model.feature_info.channels() == channels
    assert model.feature_info.reduction() == reductions
    images = torch.randn(2, 3, 64, 96)
    maps = model(images)
    assert [tuple(one.shape) for one in maps] == [
        (2, width, 64 // reduction, 96 // reduction) for width, reduction in zip(channels, reductions, strict=True)
    ]
    own = {one.shape[1]: one for one in whole.features(images)} if not options else {}
    for one in maps if own else []:
        torch.testing.assert_close(one, own[one.shape[1]])


def test_unused_cells_are_pruned():
    model = timm.create_model("genas_fbs_c100", features_only=True, out_indices=(1,), cells=5, channels=4)
    assert len(model.model.cells) == 1
    assert not [name for name, _ in model.named_parameters() if "classifier" in name]


def test_what_is_refused():
    with pytest.raises(RuntimeError, match="No pretrained weights exist for genas_fbs_c100"):
        timm.create_model("genas_fbs_c100", pretrained=True, **SMALL)
    model = timm.create_model("genas_fbs_c100", **SMALL)
    with pytest.raises(ConfigError, match="do not support gradient checkpointing"):
        model.set_grad_checkpointing(True)
    model.set_grad_checkpointing(False)
    with pytest.raises(ConfigError, match="output_fmt is 'NLC'"):
        model.forward_intermediates(torch.zeros(1, 3, 64, 64), output_fmt="NLC")


def test_one_step_as_timms_training_script_does_it():
    from timm.data import Mixup, resolve_data_config
    from timm.loss import SoftTargetCrossEntropy
    from timm.models import group_parameters
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import ModelEmaV3

    torch.manual_seed(0)
    model = timm.create_model(
        "genas_fbs_c100",
        pretrained=False,
        in_chans=None,
        drop_rate=0.2,
        drop_path_rate=0.3,
        drop_block_rate=None,
        global_pool=None,
        scriptable=False,
        **SMALL,
    )
    assert resolve_data_config({}, model=model)["input_size"] == (3, 224, 224)
    assert set(group_parameters(model, model.group_matcher())) == set(
        range(len(set(group_parameters(model, model.group_matcher()))))
    )
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.05, weight_decay=3e-5, layer_decay=0.9)
    scheduler, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=2)
    ema = ModelEmaV3(model, decay=0.5)
    images, labels = Mixup(mixup_alpha=0.2, num_classes=7)(torch.randn(8, 3, 64, 64), torch.arange(8) % 7)
    before = copy.deepcopy(model.state_dict())
    model.train()
    losses = []
    for step in range(4):
        loss = SoftTargetCrossEntropy()(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        ema.update(model, step=step)
        losses.append(loss.item())
    scheduler.step(1)
    assert all(torch.isfinite(torch.tensor(losses)))
    assert not torch.equal(before["classifier.weight"], model.state_dict()["classifier.weight"])
    assert model.head_drop.p == 0.2
    assert model.drop_path == 0.3
    assert not torch.equal(model(images), model(images))  # dropout and drop-path are at work
    model.eval()
    assert torch.equal(model(images), model(images))
