"""The training of architecture parameters: exact resume, the record, collapse, what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from genas.core.checkpoint import load_checkpoint
from genas.core.device import Fabric
from genas.core.errors import CheckpointError, ConfigError, DataError, Interrupted, RunError
from genas.data import Splits
from genas.spaces import ChoiceArchitecture, ChoiceSpace, Mix, MixedNetwork, Network, Space, open_space
from genas.training.differentiable import (
    Darts,
    DartsSettings,
    Derived,
    DropNas,
    DropNasSettings,
    GradientMethod,
    PcDarts,
    PcDartsSettings,
    read_records,
    train_architecture,
)
from genas.training.loop import Trainer

SHORT: dict[str, Any] = {"epochs": 3, "batch_size": 8, "architecture_learning_rate": 0.02, "architecture_from": 1}
FAST = Fabric()


def cells() -> Space:
    return open_space("nasbench201", cells_per_stage=1, channels=4)


def method_of(name: str, space: Space | None = None, **changes: Any) -> GradientMethod:
    space = space or cells()
    if name == "pc-darts":
        return PcDarts(space, PcDartsSettings(**{"channel_share": 2, **SHORT, **changes}))
    if name == "drop-nas":
        return DropNas(space, DropNasSettings(**{"group_drop_rate": 0.02, **SHORT, **changes}))
    return Darts(space, DartsSettings(**{"order": name, **SHORT, **changes}))


def train(folder: Path, method: GradientMethod, splits: Splits, fabric: Fabric = FAST, quiet: bool = True) -> Derived:
    return train_architecture(folder, method, splits, fabric, 1, quiet=quiet)


def state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, facts = load_checkpoint(folder / "checkpoint.safetensors")
    for row in facts["rows"]:
        row.pop("seconds")
    return tensors, facts


def check_same(first: Path, second: Path) -> None:
    (tensors, facts), (others, other_facts) = state(first), state(second)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    assert facts == other_facts
    assert (first / "architecture.json").read_bytes() == (second / "architecture.json").read_bytes()


@pytest.mark.parametrize(("name", "stop_at"), [("first", 4), ("second", 5), ("pc-darts", 6), ("drop-nas", 7)])
def test_an_interrupted_search_continues_bit_identically(
    tmp_path: Path, tiny: Splits, interrupt_after: Callable[..., None], name: str, stop_at: int
) -> None:
    method = method_of(name, checkpoint_seconds=1e-9)
    whole = train(tmp_path / "whole", method, tiny)
    interrupt_after(stop_at, lambda: train(tmp_path / "parts", method, tiny))
    again = train(tmp_path / "parts", method, tiny)
    check_same(tmp_path / "whole", tmp_path / "parts")
    assert again.architecture == whole.architecture
    assert again.epochs == whole.epochs


@pytest.mark.parametrize(("name", "at"), [("first", 5), ("second", 5), ("drop-nas", 8)])
def test_a_step_that_is_broken_off_is_undone_architecture_parameters_too(
    tmp_path: Path, tiny: Splits, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    method = method_of(name)
    train(tmp_path / "whole", method, tiny)
    steps = 0
    original = Trainer._forward_backward

    def broken(self: Trainer, *arguments: Any) -> Tensor:
        nonlocal steps
        steps += 1
        found = original(self, *arguments)
        if steps == at:  # a step of the second epoch: alpha of DARTS has moved, the weights have not
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_forward_backward", broken)
        with pytest.raises(Interrupted):
            train(tmp_path / "parts", method, tiny)
    train(tmp_path / "parts", method, tiny)
    check_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(("space", "sizes"), [("darts", {"cells": 3, "channels": 4}), ("nasbench-macro", {})])
def test_other_spaces_can_be_searched(tmp_path: Path, tiny: Splits, space: str, sizes: dict[str, int]) -> None:
    own = open_space(space, **(sizes or {"channels": 4, "tail_channels": 8}))
    settings: dict[str, Any] = {"epochs": 1, "architecture_from": 0, "batch_size": 20}
    names = ("first", "pc-darts", "drop-nas") if space == "darts" else ("first", "drop-nas")
    for name in names:
        found = train(tmp_path / name, method_of(name, own, **settings), tiny)
        assert own.parse(found.epochs[-1].genotype) == found.architecture


def test_parameters_stay_until_their_first_epoch_and_move_then(tmp_path: Path, tiny: Splits) -> None:
    method = method_of("pc-darts")
    found = train(tmp_path, method, tiny)
    initial = method.ranked(method.initial(1))
    first, second, _ = (torch.tensor(one.weights) for one in found.epochs)
    assert torch.allclose(first, initial, atol=1e-6)
    assert (second - initial).abs().max() > 1e-3
    assert found.epochs[0].validation_loss is None
    assert found.epochs[1].validation_loss is not None
    assert found.epochs[-1].genotype == found.architecture.genotype


def test_the_record_names_the_edges_of_every_weight(tmp_path: Path, tiny: Splits) -> None:
    found = train(tmp_path, method_of("first", epochs=2), tiny)
    content = json.loads((tmp_path / "architecture.json").read_text())
    assert [one["epoch"] for one in content["epochs"]] == [1, 2]
    assert content["edges"][2]["source"] == 1
    assert content["edges"][2]["node"] == 2
    for row, edge in zip(found.epochs[-1].weights, content["edges"], strict=True):
        assert len(row) == len(edge["operations"]) == 5
        assert sum(row) == pytest.approx(1, abs=1e-5)
    assert found.epochs[0].entropy == pytest.approx(1.6094, abs=1e-3)  # ln 5: hardly moved
    rows = state(tmp_path)[1]["rows"]
    assert rows[1]["skips_cell"] == found.epochs[1].skips["cell"]


class Favoured(Darts):
    """A search that begins with a strong operation on every edge."""

    def __init__(self, operation: int, **changes: Any) -> None:
        super().__init__(cells(), DartsSettings(**{**SHORT, "architecture_from": 0, **changes}))
        self.operation = operation

    def initial(self, seed: int) -> dict[str, Tensor]:
        alpha = super().initial(seed)["alpha"]
        alpha[:, self.operation] += 3
        return {"alpha": alpha}


def test_a_collapse_to_skip_connections_is_said_once_with_what_helps(
    tmp_path: Path, tiny: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    found = train(tmp_path / "skips", Favoured(1), tiny, quiet=False)
    assert [one.skips for one in found.epochs] == [{"cell": 6}] * 3
    said = capsys.readouterr().err
    assert said.count("6 of the 6 operations of the derived cell cell are skip connections") == 1
    assert "epoch 1" in said
    assert "stop_at_skips" in said
    train(tmp_path / "convolutions", Favoured(3), tiny, quiet=False)
    assert "skip connections" not in capsys.readouterr().err


def test_the_stop_rule_ends_the_search_and_holds_when_it_is_continued(tmp_path: Path, tiny: Splits) -> None:
    for _ in range(2):
        found = train(tmp_path, Favoured(1, stop_at_skips=6), tiny)
        assert [one.epoch for one in found.epochs] == [1]
    assert len(train(tmp_path / "kept", Favoured(3, stop_at_skips=6), tiny).epochs) == 3


def test_bfloat16_computes_and_records(tmp_path: Path, tiny: Splits) -> None:
    method = method_of("pc-darts", epochs=1, architecture_from=0)
    found = train(tmp_path, method, tiny, Fabric("cpu", "bf16-mixed"))
    assert found.epochs[0].validation_loss is not None
    assert torch.isfinite(torch.tensor(found.epochs[0].weights)).all()


@pytest.mark.parametrize(
    ("changes", "fabric", "error", "words"),
    [
        ({"batch_size": 21}, Fabric(), DataError, "the train split has 20 images: expected at least one batch of 21"),
        ({"architecture_from": 3}, Fabric(), ConfigError, "expected fewer than the 3 epochs"),
        ({}, Fabric("cpu", "16-mixed"), ConfigError, "expected one of these, got 16"),
        ({}, Fabric(world_size=2), ConfigError, "expected 1, got 2"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    tmp_path: Path, tiny: Splits, changes: dict[str, Any], fabric: Fabric, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        train(tmp_path / "run", method_of("first", **changes), tiny, fabric)
    assert not (tmp_path / "run").exists()


def test_a_small_validation_split_is_refused(tmp_path: Path, tiny: Splits) -> None:
    small = replace(tiny, validation=tiny.validation.subset(range(7)))
    with pytest.raises(DataError, match="the validation split has 7 images"):
        train(tmp_path, method_of("first"), small)


def test_a_checkpoint_of_another_method_is_refused(tmp_path: Path, tiny: Splits) -> None:
    train(tmp_path, method_of("first", epochs=2), tiny)
    with pytest.raises(CheckpointError, match="belongs to another network"):
        train(tmp_path, method_of("pc-darts"), tiny)


def test_a_lost_or_damaged_record_is_refused(tmp_path: Path, tiny: Splits) -> None:
    train(tmp_path, method_of("first", epochs=2), tiny)
    file = tmp_path / "architecture.json"
    file.write_text("{")
    with pytest.raises(RunError, match="damaged"):
        read_records(file)
    file.unlink()
    with pytest.raises(RunError, match="holds 0 epochs, expected the 2"):
        train(tmp_path, method_of("first", epochs=2), tiny)


class ChainArchitecture(ChoiceArchitecture):
    choices: ClassVar = {"layer 0": ("identity", "conv", "none"), "layer 1": ("identity", "conv")}


class ChainNetwork(MixedNetwork):
    num_cells = 2

    def __init__(self, num_classes: int, image_channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(image_channels, 4, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"identity": nn.Identity(), "conv": nn.Conv2d(4, 4, 3, padding=1)}) for _ in range(2)
        )
        self.classifier = nn.Linear(4, num_classes)

    def forward(self, images: Tensor, path: Any = None) -> Tensor:
        raise NotImplementedError

    def forward_mixed(self, images: Tensor, mix: Mix) -> Tensor:
        x = self.stem(images)
        for layer, operations in enumerate(self.layers):
            assert isinstance(operations, nn.ModuleDict)
            x = mix(layer, operations, x)
        out: Tensor = self.classifier(x.mean((2, 3)))
        return out


class ChainSpace(ChoiceSpace[ChainArchitecture]):
    architecture_class = ChainArchitecture

    def network(self, num_classes: int, architecture: Any = None, image_channels: int = 3) -> Network:
        return ChainNetwork(num_classes, image_channels)


@pytest.mark.parametrize("order", ["first", "second"])
def test_a_custom_space_takes_part_with_its_edges_and_a_mixed_network(tmp_path: Path, tiny: Splits, order: str) -> None:
    found = train(tmp_path, method_of(order, ChainSpace()), tiny)
    assert isinstance(found.architecture, ChainArchitecture)
    assert [len(row) for row in found.epochs[-1].weights] == [3, 2]


class Bare(Space):
    """A space that declares no edges."""

    def _none(self, *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError

    sample = mutate = crossover = parse = network = size = _none


@pytest.mark.parametrize("make", [Darts, PcDarts])
def test_a_space_without_edges_is_refused_with_what_to_do(make: Callable[[Space], GradientMethod]) -> None:
    with pytest.raises(ConfigError, match=r"needs a space that declares its edges: expected an EdgeSpace, got Bare"):
        make(Bare())
