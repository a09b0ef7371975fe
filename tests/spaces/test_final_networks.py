"""Networks to retrain: auxiliary head, drop-path, feature maps, any size of image and number of classes."""

import copy
import random

import pytest
import torch
from torch import nn

from genas.core.errors import ConfigError
from genas.proxies.folding import Folded
from genas.spaces import Network, architecture_cost, copy_path, open_space
from genas.spaces.darts.auxiliary import AuxiliaryHead, windows

SPACE = open_space("darts", cells=6, channels=4)
ARCHITECTURE = SPACE.sample(random.Random(0))


def published_head(pool: nn.Module, inputs: int, classes: int, last_bn: bool) -> nn.Sequential:
    """methods.md 2.1 and 2.2, layer by layer."""
    middle = [nn.BatchNorm2d(768)] if last_bn else []
    return nn.Sequential(
        nn.ReLU(),
        pool,
        nn.Conv2d(inputs, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *middle,
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(768, classes),
    )


@pytest.mark.parametrize(("side", "stride", "last_bn"), [(8, 3, True), (7, 2, False)])
def test_the_head_is_the_published_one_at_the_published_sizes(side, stride, last_bn):
    torch.manual_seed(0)
    head = AuxiliaryHead(12, 5, last_bn)
    plain = published_head(nn.AvgPool2d(5, stride, 0, count_include_pad=False), 12, 5, last_bn)
    ours = [value for name, value in head.state_dict().items() if "num_batches" not in name]
    theirs = [value for name, value in plain.state_dict().items() if "num_batches" not in name]
    assert [one.shape for one in ours] == [one.shape for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        other.copy_(one)
    x = torch.randn(3, 12, side, side)
    torch.testing.assert_close(head(x), plain(x))


@pytest.mark.parametrize("side", range(1, 40))
def test_the_pool_gives_two_windows_that_cover_every_map(side):
    window, distance = windows(side)
    assert window >= 1
    if side > 1:
        assert (side - window) // distance + 1 == 2
        assert window + distance == side
        assert distance <= window or side == 2
    head = AuxiliaryHead(2, 3, True).eval()
    assert head(torch.zeros(1, 2, side, 5)).shape == (1, 3)


@pytest.mark.parametrize(
    ("stem", "side"), [("cifar", (32, 32)), ("cifar", (9, 14)), ("imagenet", (64, 40)), ("imagenet", (32, 32))]
)
@pytest.mark.parametrize("classes", [1, 7])
def test_any_size_of_image_and_number_of_classes(stem, side, classes):
    space = SPACE.final(stem=stem, auxiliary=True)
    network = space.network(classes, ARCHITECTURE, 1)
    logits, auxiliary = network.forward_with_auxiliary(torch.randn(2, 1, *side))
    assert logits.shape == auxiliary.shape == (2, classes)
    (logits.sum() + auxiliary.sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("stem", "option", "wanted"),
    [("cifar", None, True), ("imagenet", None, False), ("cifar", False, False), ("imagenet", True, True)],
)
def test_the_last_batch_norm_of_the_head_is_an_option(stem, option, wanted):
    network = SPACE.final(stem=stem, auxiliary=True, auxiliary_bn=option).network(3, ARCHITECTURE)
    assert isinstance(network.auxiliary_head.bn_b, nn.BatchNorm2d) == wanted


def test_the_head_reads_the_second_reduction_and_changes_nothing_else():
    for cells in (3, 6):  # with three cells the second reduction is the last cell
        torch.manual_seed(1)
        plain = SPACE.final(cells=cells).network(5, ARCHITECTURE)
        torch.manual_seed(1)
        network = SPACE.final(cells=cells, auxiliary=True).network(5, ARCHITECTURE)
        heads = {name for name in network.state_dict() if name.startswith("auxiliary_head.")}
        assert heads
        assert {*plain.state_dict(), *heads} == {*network.state_dict()}
        images = torch.randn(4, 3, 16, 16)
        caught = {}
        network.cells[2 * cells // 3].register_forward_hook(lambda _, __, out, caught=caught: caught.update(out=out))
        logits, auxiliary = network.forward_with_auxiliary(images)
        assert torch.equal(logits, plain(images))
        assert plain.forward_with_auxiliary(images)[1] is None
        raw = caught["out"]
        torch.testing.assert_close(network.auxiliary_head(raw), auxiliary)
        network.eval()
        assert network.forward_with_auxiliary(images)[1] is None
        torch.testing.assert_close(Folded(network).refresh()(images), network(images), rtol=1e-4, atol=1e-5)
        shape = (3, 16, 16)
        assert architecture_cost(SPACE.final(cells=cells, auxiliary=True), ARCHITECTURE, 5, shape) == (
            architecture_cost(SPACE.final(cells=cells), ARCHITECTURE, 5, shape)
        )


def test_a_supernet_has_no_auxiliary_head():
    with pytest.raises(ConfigError, match="a supernet has no auxiliary head; set auxiliary for the network to retrain"):
        open_space("darts", auxiliary=True).network(10)


@pytest.mark.parametrize(
    ("edges", "sizes"),
    [
        ("3,4,4,4,0,4,4,0,0,0,6,0,0,7,1,5,0,5,7,0,0,7,7,0,0,0,7,7", [5_433_280, 5_433_856]),
        ("3,4,0,4,1,0,4,5,0,5,5,0,0,0,1,5,0,5,7,0,0,7,7,0,0,7,0,7", [5_540_800, 5_544_064]),
    ],
    ids=["dropnas_c10", "dropnas_c100"],
)
def test_batch_norm_after_pools_is_an_option_of_final_networks(edges, sizes):
    """methods.md 17: 576 and 3,264 parameters more in the ImageNet networks of DropNAS's cells."""
    space = open_space("darts")
    found = [
        architecture_cost(
            space.final(cells=14, channels=48, stem="imagenet", pool_bn=pool_bn), space.parse(edges), 1000, (3, 64, 64)
        ).params
        for pool_bn in (False, True)
    ]
    assert found == sizes


def test_unknown_options_of_final_networks_are_refused():
    with pytest.raises(ConfigError, match=r"unknown key 'auxilliary' \(did you mean 'auxiliary'\?\)"):
        SPACE.final(auxilliary=True)
    with pytest.raises(ConfigError, match="cells is 1: "):
        SPACE.final(cells=1)
    with pytest.raises(ConfigError, match=r"unknown key 'stem' \(known here are "):
        open_space("nasbench201").final(stem="imagenet")


def dropping(network: Network, p: float, seed: int = 0) -> Network:
    network.train()
    network.drop_path = p
    network.drop_path_generator = torch.Generator().manual_seed(seed)
    return network


def test_drop_path_multiplies_every_operation_but_identities(space):
    """An independent form: hooks that multiply the outputs of the operations, one factor per image."""
    rng = random.Random(3)
    for _ in range(4):
        architecture = space.sample(rng)
        network = dropping(space.network(4, architecture), 0.4)
        images = torch.randn(6, 3, 8, 8)
        found = network(images)
        plain = copy.deepcopy(network)
        plain.load_state_dict(network.state_dict())
        factors = dropping(network, 0.4).drop_path_factors(images, len(operations(network)))
        assert ((factors == 0) | torch.isclose(factors, torch.tensor(1 / 0.6))).all()
        plain.drop_path = 0.0
        for factor, operation in zip(factors, operations(plain), strict=True):
            if operation is not None and not isinstance(operation, nn.Identity):
                operation.register_forward_hook(lambda _, __, out, factor=factor: out * factor)
        torch.testing.assert_close(plain(images), found)


def operations(network: Network) -> list[nn.Module | None]:
    """What drop-path may drop, in the order of the factors; None where the architecture has nothing there."""
    if network.architecture.genotype.isdigit():  # NAS-Bench-Macro: the branches beside a shortcut
        chosen = [next(iter(layer.values())) for layer in network.layers]
        return [operation.branch if getattr(operation, "shortcut", False) else None for operation in chosen]
    cells = [cell.edges for cell in network.cells if hasattr(cell, "edges")]
    if network.architecture.genotype.startswith("Genotype"):
        return [operation for edges in cells for edge in edges.values() for operation in edge.values()]
    return [next(iter(edges[str(n)].values())) if str(n) in edges else None for edges in cells for n in range(6)]


def test_drop_path_is_for_training_only_and_keeps_the_mean(space):
    architecture = space.sample(random.Random(1))
    network = dropping(space.network(4, architecture), 0.3)
    images = torch.randn(2, 3, 8, 8)
    network.eval()
    still = network(images)
    assert torch.equal(network(images), still)
    assert network.drop_path_factors(images, 5) is None
    network.train()
    factors = network.drop_path_factors(torch.zeros(5000, 1), 6)
    assert factors.shape == (6, 5000, 1, 1, 1)
    assert factors.mean().item() == pytest.approx(1, abs=0.02)
    network.drop_path = 0.0
    assert network.drop_path_factors(images, 5) is None


def test_drop_path_is_repeated_by_its_generator_and_by_any_split_of_the_batch(space):
    architecture = space.sample(random.Random(2))
    network = dropping(space.network(4, architecture), 0.5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # so that images do not see each other
    images = torch.randn(6, 3, 8, 8)
    whole = network(images)
    network.drop_path_generator.manual_seed(0)
    assert torch.equal(network(images), whole)
    parts = []
    for first in (0, 4):
        network.drop_path_generator.manual_seed(0)
        network.drop_path_rows = (first, 6)
        parts.append(network(images[first : first + (4 if first == 0 else 2)]))
    torch.testing.assert_close(torch.cat(parts), whole)


def test_feature_maps_are_what_the_classifier_and_their_description_say(space):
    network = space.network(4, space.sample(random.Random(5))).eval()
    check_features(network, torch.randn(2, 3, 16, 16))


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_feature_maps_of_final_networks(stem):
    network = SPACE.final(stem=stem).network(4, ARCHITECTURE).eval()
    check_features(network, torch.randn(2, 3, 64, 96))
    assert [one.reduction for one in network.feature_info] == ([1, 2, 4] if stem == "cifar" else [4, 8, 16, 32])
    with torch.no_grad():
        maps = network.features(torch.randn(2, 3, 64, 96))
    assert all(one.min() < 0 for one in maps)  # before any ReLU, not overwritten by the next cell's


def check_features(network: Network, images: torch.Tensor) -> None:
    maps = network.features(images)
    assert len(maps) == len(network.feature_info)
    for one, info in zip(maps, network.feature_info, strict=True):
        assert one.shape == (
            len(images),
            info.channels,
            images.shape[2] // info.reduction,
            images.shape[3] // info.reduction,
        )
    reductions = [info.reduction for info in network.feature_info]
    assert reductions == sorted(set(reductions))


def test_the_last_map_is_what_the_classifier_reads():
    network = SPACE.final().network(4, ARCHITECTURE).eval()
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network.classifier(network.features(images)[-1].mean((2, 3))), network(images))


def test_a_path_of_the_supernet_fits_the_final_network_apart_from_its_head():
    supernet = open_space("darts", cells=6, channels=4, pool_bn=False).network(5)
    network = SPACE.final().network(5, ARCHITECTURE)
    copy_path(supernet, network)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(supernet.eval()(images, ARCHITECTURE), network.eval()(images))


def test_a_network_without_maps_says_so():
    class Bare(Network):
        num_cells = 1

        def forward(self, images, path=None):
            return images.mean((2, 3))

    bare = Bare()
    logits, auxiliary = bare.forward_with_auxiliary(torch.zeros(1, 3, 2, 2))
    assert logits.shape == (1, 3)
    assert auxiliary is None
    with pytest.raises(ConfigError, match="Bare does not define feature maps"):
        bare.features(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ConfigError, match="cannot be a backbone"):
        _ = bare.feature_info
