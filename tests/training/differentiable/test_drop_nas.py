"""DropNAS: what is dropped, what the shift keeps, what does not move."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from genas.core.checkpoint import load_checkpoint
from genas.core.device import Fabric
from genas.core.seeding import python_rng
from genas.data import Splits
from genas.spaces import EdgeSpace, open_space
from genas.spaces.edges import WITHOUT_WEIGHTS, Edge
from genas.training.differentiable import DropNas, DropNasSettings, train_architecture
from genas.training.differentiable.drop_nas import drop_probability, keep_share, kept_operations
from genas.training.differentiable.train import untrained_network


def darts_edge() -> Edge:
    space = open_space("darts")
    assert isinstance(space, EdgeSpace)
    return space.edges()[0]


def test_the_published_rate_drops_an_operation_with_probability_0_0740() -> None:
    assert drop_probability(DropNasSettings().group_drop_rate) == pytest.approx(0.0740, abs=5e-5)


def test_operations_are_dropped_independently_at_the_rate() -> None:
    rng, counts = random.Random(0), Counter[int]()
    for _ in range(20_000):
        counts.update(kept_operations(darts_edge(), 0.074, rng))
    assert all(counts[number] / 20_000 == pytest.approx(1 - 0.074, abs=0.008) for number in range(8))


def test_a_group_is_never_empty() -> None:
    rng, edge = random.Random(0), darts_edge()
    for _ in range(300):
        names = [edge.operations[number] for number in kept_operations(edge, 0.9, rng)]
        assert any(name in WITHOUT_WEIGHTS for name in names)
        assert any(name not in WITHOUT_WEIGHTS for name in names)
    alone = Edge("chain", 0, 1, ("none", "identity"))  # one group; none alone would leave nothing to compute
    assert all(1 in kept_operations(alone, 0.9, rng) for _ in range(300))


def test_the_shift_leaves_the_share_of_the_kept_operations_and_their_differences() -> None:
    torch.manual_seed(0)
    before = torch.randn(3, 5, dtype=torch.float64)
    kept = torch.tensor([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 0]], dtype=torch.bool)
    used = torch.ones_like(kept)
    used[2, 4] = False  # an edge with four operations
    after = torch.where(kept, before + torch.randn_like(before), before)
    shifted = keep_share(before, after, kept, used)
    for row in (0, 2):
        own = used[row]
        shares = [torch.softmax(alpha[row][own], 0)[kept[row][own]].sum() for alpha in (before, shifted)]
        assert float(shares[0]) == pytest.approx(float(shares[1]), abs=1e-12)
        moved = (shifted - after)[row][kept[row]]
        assert torch.allclose(moved, moved[0].expand_as(moved))
        assert torch.equal(shifted[row][~kept[row]], before[row][~kept[row]])
    assert torch.equal(shifted[1], after[1])


def test_dropped_operations_keep_weights_and_architecture_parameters(tmp_path: Path, tiny: Splits) -> None:
    space = open_space("nasbench201", cells_per_stage=1, channels=4)
    settings = DropNasSettings(epochs=1, batch_size=40, group_drop_rate=0.2, architecture_learning_rate=0.1)
    method = DropNas(space, settings)
    assert len(tiny.train) == 40  # one step, with all training images
    kept = method.draw(python_rng(1, "architecture.draw", 0, 0), 0)["kept"]
    trained = train_architecture(tmp_path, method, tiny, Fabric(), 1, quiet=True)
    before = dict(untrained_network(method, tiny, 1).named_parameters())
    names = method.edges[0].operations
    dropped = [
        f".edges.{edge}.{name}." for edge in range(6) for number, name in enumerate(names) if not kept[edge, number]
    ]
    unmoved = {name for name, value in trained.network.named_parameters() if torch.equal(value, before[name])}
    assert unmoved == {name for name in before if any(part in name for part in dropped)}
    assert unmoved
    tensors = load_checkpoint(tmp_path / "checkpoint.safetensors")[0]
    alpha, initial = tensors["companion.alpha"], method.initial(1)["alpha"]
    assert torch.equal(alpha[~kept], initial[~kept])
    assert (alpha[kept] != initial[kept]).all()
    assert not tensors["companion.alpha.exp_avg"][~kept].any()


def test_the_ranking_is_by_alpha_or_by_the_share_of_an_edge() -> None:
    space = open_space("darts")
    assert isinstance(space, EdgeSpace)
    alpha = torch.zeros(28, 8)
    alpha[5] = torch.tensor([0.0, 5, 5, 5, 5, 5, 5, 5.5])  # large, but hardly decided
    alpha[6, 4], alpha[7, 6] = 3.5, 3.0  # smaller, and decided
    kept = []
    for ranking in ("alpha", "share"):
        method = DropNas(space, DropNasSettings(ranking=ranking))
        kept.append(space.operations_of(method.derive({"alpha": alpha}))[5:9])
    assert kept[0] == ("dil_conv_5x5", "sep_conv_3x3", "none", "none")
    assert kept[1] == ("none", "sep_conv_3x3", "dil_conv_3x3", "none")
