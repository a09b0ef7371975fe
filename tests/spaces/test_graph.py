"""The ONNX graph of a path computes what the module computes, whatever the sizes."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from genas.proxies.folding import Folded
from genas.spaces import open_space
from genas.spaces.graph import Graph, UnsupportedNetwork

onnxruntime = pytest.importorskip("onnxruntime")

CASES = [
    ("darts", {"cells": 3, "channels": 6}, (3, 16, 16)),
    ("darts", {"cells": 5, "channels": 16}, (3, 19, 27)),
    ("darts", {"cells": 3, "channels": 8, "stem": "imagenet"}, (3, 37, 45)),
    ("darts", {"cells": 3, "channels": 7, "pool_bn": False, "bn_affine": False}, (1, 9, 6)),
    ("nasbench201", {"cells_per_stage": 1, "channels": 16}, (3, 8, 8)),
    ("nasbench201", {"cells_per_stage": 2, "channels": 5}, (1, 15, 17)),
    ("nasbench201", {"cells_per_stage": 1, "channels": 4, "unreached": "run"}, (3, 7, 7)),
    ("nasbench-macro", {"channels": 4, "tail_channels": 12}, (3, 13, 9)),
    ("nasbench-macro", {"channels": 16, "tail_channels": 32}, (3, 16, 16)),
]


def logits(graph: Graph, images: torch.Tensor) -> torch.Tensor:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = graph.model().SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def with_statistics(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


@pytest.mark.parametrize(("name", "options", "shape"), CASES)
@pytest.mark.parametrize("folded", [False, True])
def test_losses_equal_those_of_the_module(name, options, shape, folded):
    space = open_space(name, **options)
    for seed in range(4):
        torch.manual_seed(seed)
        network = with_statistics(space.network(10, space.sample(random.Random(seed)), shape[0]), seed)
        graph = Graph(Folded(network).refresh() if folded else network, shape)
        for count in (5, 1):
            images, labels = torch.randn(count, *shape), torch.arange(count)
            with torch.no_grad():
                wanted = network(images)
            found = logits(graph, images)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
            ours, theirs = (functional.cross_entropy(one.double(), labels).item() for one in (found, wanted))
            assert ours == pytest.approx(theirs, rel=1e-5)


def test_every_operation_of_every_space():
    """Architectures of one operation each: no random draw decides what is tested."""
    cells = [f"{o}{o}{o}{o}0{o}{o}00{o}{o}000" for o in range(1, 8)]
    genotypes = {
        "darts": [",".join(cell + cell) for cell in cells],
        "nasbench201": [str(number) * 6 for number in range(5)],
        "nasbench-macro": [str(number) * 8 for number in range(3)],
    }
    small = {"darts": {"cells": 3, "channels": 4}, "nasbench201": {"cells_per_stage": 1, "channels": 4}}
    for name, texts in genotypes.items():
        space = open_space(name, **small.get(name, {"channels": 4, "tail_channels": 8}))
        for text in texts:
            network = with_statistics(space.network(4, space.parse(text)), 0)
            images = torch.randn(2, 3, 11, 14)
            with torch.no_grad():
                wanted = network(images)
            torch.testing.assert_close(logits(Graph(network, (3, 11, 14)), images), wanted, rtol=1e-4, atol=1e-5)


def test_the_model_takes_the_weights_that_the_network_has_at_the_time():
    space = open_space("nasbench201", cells_per_stage=1, channels=4)
    network = with_statistics(space.network(10, space.parse("333333")), 0)
    graph, images = Graph(network, (3, 8, 8)), torch.randn(2, 3, 8, 8)
    before = logits(graph, images)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        wanted = network(images)
    assert not torch.allclose(before, wanted, rtol=1e-3)
    torch.testing.assert_close(logits(graph, images), wanted, rtol=1e-4, atol=1e-5)


class Own(nn.Module):
    def __init__(self, last) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
        self.last = last
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.last(self.body(x)).mean((2, 3)))


def test_a_network_of_ones_own_is_built_from_common_modules():
    network, images = with_statistics(Own(nn.Dropout(0.5)), 0), torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(logits(Graph(network, (3, 9, 9)), images), network(images), rtol=1e-4, atol=1e-5)


class Deciding(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("last", "named"),
    [
        (nn.Sigmoid(), "last"),
        (nn.AvgPool2d(3, 1, 1), "last"),  # counts its padding
        (nn.MaxPool2d(2, ceil_mode=True), "last"),
        (nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect"), "last"),
        (Deciding(), "torch.fx"),
    ],
)
def test_what_the_table_does_not_hold_is_named(last, named):
    with pytest.raises(UnsupportedNetwork, match=f"(?s)^expected .*{named}.*engine=fast"):
        Graph(Own(last).eval(), (3, 16, 16))
