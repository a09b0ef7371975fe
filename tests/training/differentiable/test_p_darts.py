"""P-DARTS: rates, operations left per stage, the limit of skip connections, exact resume over stages."""

import csv
import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from genas.core.checkpoint import load_checkpoint
from genas.core.device import Fabric
from genas.core.errors import ConfigError
from genas.data import Splits
from genas.spaces import ChoiceArchitecture, ChoiceSpace, EdgeSpace, open_space
from genas.training.differentiable import PDartsSettings, PDartsStage, read_records, search_in_stages
from genas.training.differentiable.p_darts import drop_weakest, limit_skips, skip_dropout
from genas.training.differentiable.train import untrained_network

SHORT: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 10,
    "cells": (3, 4, 5),
    "architecture_from": 1,
    "architecture_learning_rate": 0.05,
}


def darts() -> EdgeSpace:
    space = open_space("darts", cells=3, channels=2)
    assert isinstance(space, EdgeSpace)
    return space


def test_dropout_falls_jumps_back_and_falls_as_published() -> None:
    rates = [skip_dropout(epoch, 25, 10, 0.4) for epoch in range(25)]
    assert rates[0] == pytest.approx(0.96 * 0.4)
    assert rates[9] == pytest.approx(0.60 * 0.4)
    assert rates[10] == pytest.approx(0.4)
    assert rates[24] == pytest.approx(0.061 * 0.4, rel=5e-3)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


def test_the_weakest_operations_go_none_like_any_other() -> None:
    kept = torch.tensor([[True] * 4, [True, True, False, True]])
    left = drop_weakest(kept, [[0.1, 0.4, 0.3, 0.2], [0.5, 0.2, 0.0, 0.3]], 2)
    assert left.tolist() == [[False, True, True, False], [True, False, False, False]]


def made_up_cell() -> list[list[float]]:
    """Every edge of the normal cell prefers its skip connection, later edges more; its second choice is a pool."""
    weights = [[0.0] * 8 for _ in range(28)]
    for number in range(14):
        weights[number][3] = 0.5 + 0.01 * number
        weights[number][1] = 0.3 + 0.001 * number
    for number in range(14, 28):
        weights[number][3] = 0.9
    return weights


@pytest.mark.parametrize("limit", [0, 2, 5, 8, None])
def test_the_normal_cell_keeps_its_strongest_skips_up_to_the_limit(limit: int | None) -> None:
    space = darts()
    operations = space.operations_of(limit_skips(space, made_up_cell(), limit))
    normal, reduction = operations[:14], operations[14:]
    skips = [number for number, name in enumerate(normal) if name == "skip_connect"]
    expected = 8 if limit is None else limit
    assert len(skips) == expected
    assert sum(name == "max_pool_3x3" for name in normal) == 8 - expected
    # without a limit node 2 has edges 0 and 1, then the last two edges of every node; the weakest go first
    assert skips == [0, 1, 3, 4, 7, 8, 12, 13][8 - expected :]
    assert reduction.count("skip_connect") == 8


def test_edges_that_have_nothing_but_a_skip_keep_it() -> None:
    class Skips(ChoiceArchitecture):
        choices: ClassVar[Mapping[str, tuple[str, ...]]] = {str(place): ("skip_connect", "conv") for place in range(3)}

    class Chain(ChoiceSpace[Skips]):
        name, architecture_class = "chain", Skips

        def network(self, num_classes: int, architecture: Any = None, image_channels: int = 3) -> Any:
            raise NotImplementedError

    found = limit_skips(Chain(), [[0.6, 0.0], [0.7, 0.3], [0.9, 0.0]], 0)
    assert Chain().operations_of(found) == ("skip_connect", "conv", "skip_connect")


def test_only_identity_skips_are_dropped_out_and_their_mean_stays() -> None:
    settings = PDartsSettings(skip_dropout=(0.5, 0.4, 0.7), architecture_from=0)
    method = PDartsStage(darts(), settings, 0)
    alpha = torch.full((28, 8), -50.0)
    alpha[:, 3] = 50.0
    drawn = {"dropout_seed": torch.tensor(3), "dropout_rate": torch.tensor(0.5)}
    mix = method.mix({"alpha": alpha, **drawn})
    names = method.edges[0].operations[1:]
    x = torch.ones(64, 2, 16, 16)
    identity = nn.ModuleDict({name: nn.Identity() if name == "skip_connect" else nn.AvgPool2d(1) for name in names})
    out = mix(0, identity, x)
    assert set(out.round(decimals=6).unique().tolist()) == {0.0, 2.0}
    assert float(out.mean()) == pytest.approx(1, abs=0.05)
    assert not torch.equal(mix(0, identity, x), out)  # each place has its own
    again = method.mix({"alpha": alpha, **drawn})
    assert torch.equal(again(0, identity, x), out)  # and the same one in the same step
    strided = nn.ModuleDict({name: nn.AvgPool2d(1) for name in names})
    assert torch.equal(mix(0, strided, x), x)


def test_stages_grow_deeper_with_fewer_operations_and_their_own_rates(tmp_path: Path, tiny: Splits) -> None:
    found = search_in_stages(
        tmp_path, darts(), PDartsSettings(**{**SHORT, "batch_size": 20}), tiny, Fabric(), 1, quiet=True
    )
    for stage, (cells, left) in enumerate(((3, 8), (4, 5), (5, 3)), 1):
        tensors, facts = load_checkpoint(tmp_path / f"stage-{stage}" / "checkpoint.safetensors")
        assert facts["identity"]["space"]["cells"] == cells
        records = read_records(tmp_path / f"stage-{stage}" / "architecture.json")
        counts = {sum(share > 0 for share in row) for row in records[-1].weights}
        assert counts == {left}
        with (tmp_path / f"stage-{stage}" / "metrics.csv").open() as file:
            rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
        assert rates == pytest.approx([0.025, 0.025 * (1 + math.cos(math.pi / 2)) / 2])
        held = {name.split(".edges.0.")[1].split(".")[0] for name in tensors if ".cells.0.edges.0." in name}
        shares = dict(zip(darts().edges()[0].operations, records[-1].weights[0], strict=True))
        assert all(shares[name] for name in held)  # what an edge has lost is no longer in the network
    first, second = (read_records(tmp_path / f"stage-{stage}" / "architecture.json")[-1] for stage in (1, 2))
    for before, after in zip(first.weights, second.weights, strict=True):
        lost = {number for number, share in enumerate(after) if share == 0}
        assert lost == set(sorted(range(8), key=lambda number: before[number])[:3])
    normal = darts().operations_of(found.architecture)[:14]
    assert normal.count("skip_connect") <= 2


def test_the_network_of_a_stage_holds_only_what_is_left(tiny: Splits) -> None:
    kept = torch.zeros(28, 8, dtype=torch.bool)
    kept[:, [0, 3, 4]] = True
    kept[20] = False
    kept[20, [6, 7]] = True
    network = untrained_network(PDartsStage(darts(), PDartsSettings(), 2, kept), tiny, 1)
    names = {name.split(".edges.")[1].split(".")[1] for name, _ in network.named_parameters() if ".edges." in name}
    assert names == {"skip_connect", "sep_conv_3x3", "dil_conv_3x3", "dil_conv_5x5"}


@pytest.mark.parametrize("stop_at", [3, 7])
def test_a_search_killed_in_any_stage_continues_to_the_same_end(
    tmp_path: Path, tiny: Splits, interrupt_after: Callable[..., None], stop_at: int
) -> None:
    space = open_space("nasbench201", cells_per_stage=1, channels=4)
    stages = {"cells": (1, 2), "dropped": (2,), "skip_dropout": (0.3, 0.4), "added_channels": (0, 0)}
    settings = PDartsSettings(**{**SHORT, **stages, "checkpoint_seconds": 1e-9})

    def search(folder: str) -> Any:
        return search_in_stages(tmp_path / folder, space, settings, tiny, Fabric(), 1, quiet=True)

    whole = search("whole")
    interrupt_after(stop_at, lambda: search("parts"))
    again = search("parts")
    assert again.architecture == whole.architecture
    for stage in (1, 2):
        first, second = (
            load_checkpoint(tmp_path / folder / f"stage-{stage}" / "checkpoint.safetensors")[0]
            for folder in ("whole", "parts")
        )
        assert all(torch.equal(first[name], value) for name, value in second.items())


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("nasbench201", {}, "drops 5 operations of every edge: expected at least 2 left, got 0 of 5"),
        ("nasbench-macro", {}, "expected a space with the options cells and channels"),
        ("darts", {"dropped": (3, 4)}, "expected at least 2 left, got 1 of 8"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    tmp_path: Path, tiny: Splits, name: str, changes: dict[str, Any], words: str
) -> None:
    settings = PDartsSettings(**{**SHORT, **changes})
    with pytest.raises(ConfigError, match=words):
        search_in_stages(tmp_path / "run", open_space(name), settings, tiny, Fabric(), 1, quiet=True)
    assert not (tmp_path / "run").exists()


def test_stages_need_a_value_each() -> None:
    with pytest.raises(ValueError, match="skip_dropout has 2 values; expected 3"):
        PDartsSettings(skip_dropout=(0.0, 0.1))


def test_nasbench201_can_be_searched_with_fewer_operations_dropped(tmp_path: Path, tiny: Splits) -> None:
    space = open_space("nasbench201", cells_per_stage=1, channels=4)
    settings = PDartsSettings(
        **{**SHORT, "cells": (1, 2), "dropped": (2,), "skip_dropout": (0.0, 0.4), "added_channels": (0, 2)}
    )
    found = search_in_stages(tmp_path, space, settings, tiny, Fabric(), 1, quiet=True)
    assert space.parse(found.architecture.genotype) == found.architecture
