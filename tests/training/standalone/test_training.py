"""What the recipes' options do to a training, against slow computations of the same."""

import json
import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from genas.core.checkpoint import load_checkpoint
from genas.core.device import Fabric, Precision
from genas.core.errors import ConfigError, Interrupted
from genas.core.interrupt import StopRequest
from genas.spaces import Architecture, Network, Space, open_space, operations
from genas.training.loop import Trainer
from genas.training.standalone import RetrainSettings, measure, retrain
from genas.training.standalone import train as module
from genas.training.standalone.data import parts_of
from genas.training.standalone.network import resize

DARTS = open_space("darts", cells=3, channels=4)
GENOTYPE = "4 4 4 6 0 5 4 0 0 2 6 0 0 0 1 5 0 5 5 4 0 0 4 0 4 4 0 0".replace(" ", ",")
SMALL = RetrainSettings(epochs=2, batch_size=8, learning_rate=0.05)
WHOLE = RetrainSettings(
    epochs=2,
    batch_size=8,
    accumulate=2,
    auxiliary_weight=0.4,
    drop_path=0.3,
    cutout=3,
    ema_decay=0.8,
    best="held-out",
    held_out=0.2,
    crop="resized",
    colour_jitter=(0.1, 0.1, 0.1, 0.1),
    lighting=0.1,
    layout="channels-last",
    gradients="fast",
    checkpoint_seconds=1e-6,
)


@dataclass(frozen=True)
class One(Architecture):
    """The only architecture of `Plain`."""

    @property
    def genotype(self):
        return "one"


class PlainNetwork(Network):
    """Two convolutions without batch norm, and drop-path on one of them."""

    def __init__(self, classes, channels):
        super().__init__()
        self.architecture = One()
        self.first, self.second = nn.Conv2d(channels, 6, 3), nn.Conv2d(6, 6, 3)
        self.classifier = nn.Linear(6, classes)

    def forward(self, images, path=None):
        x = self.first(images).relu()
        factors = self.drop_path_factors(images, 1)
        out = self.second(x)
        out = out if factors is None else out * factors[0].to(out.dtype)
        return self.classifier(out.relu().mean((2, 3)))

    @property
    def num_cells(self):
        return 1


class Plain(Space):
    """A space of one network without batch norm, for equalities that batch norm would spoil."""

    def sample(self, rng):
        return One()

    def mutate(self, architecture, rng, probability=0.1):
        return One()

    def crossover(self, first, second, rng):
        return One()

    def parse(self, text):
        return One()

    def network(self, num_classes, architecture=None, image_channels=3):
        return PlainNetwork(num_classes, image_channels)

    def size(self):
        return 1


def weights(folder, name="model"):
    return load_checkpoint(folder / f"{name}.safetensors")[0]


def train(folder, splits, settings, fabric, space=None, architecture=None, seed=1, **more):
    space = space or resize(DARTS, settings)
    architecture = architecture or DARTS.parse(GENOTYPE)
    return retrain(folder, space, architecture, splits, settings, fabric, seed, quiet=True, **more)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, make_splits, fabric):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, make_splits(40), WHOLE, fabric)


@pytest.mark.parametrize("stop_at", [3, 5, 7])
def test_stopped_anywhere_it_ends_as_if_never_stopped(
    tmp_path, make_splits, fabric, monkeypatch, uninterrupted, stop_at
):
    splits = make_splits(40)  # 32 to train on: 4 steps an epoch
    whole_folder, whole = uninterrupted
    checks = 0

    def check(self):
        nonlocal checks
        checks += 1
        if checks == stop_at:
            raise Interrupted("stop")

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "check", check)
        with pytest.raises(Interrupted):
            train(tmp_path / "parts", splits, WHOLE, fabric)
    assert not (tmp_path / "parts" / "result.json").exists()
    assert train(tmp_path / "parts", splits, WHOLE, fabric) == whole
    for name in ("model", "best", "checkpoint"):
        wanted, found = weights(whole_folder, name), weights(tmp_path / "parts", name)
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[key], found[key]) for key in wanted), name
    results = [json.loads((folder / "result.json").read_text()) for folder in (whole_folder, tmp_path / "parts")]
    assert results[0] == results[1]


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_accumulating_equals_the_large_batch(tmp_path, make_splits, drop_path):
    splits, fabric = make_splits(43), Fabric(precision="64-true")
    for pieces in (1, 3):
        settings = SMALL.model_copy(update={"accumulate": pieces, "drop_path": drop_path, "batch_size": 10})
        train(tmp_path / str(pieces), splits, settings, fabric, Plain(), One())
    one, three = weights(tmp_path / "1"), weights(tmp_path / "3")
    assert one["first.weight"].dtype == torch.float64  # precision 64 is more than a name
    for name, value in one.items():
        assert three[name].numpy() == pytest.approx(value.numpy(), rel=1e-9, abs=1e-13)


def test_one_step_is_that_of_the_formula(tmp_path, make_splits, fabric, monkeypatch):
    """Cross-entropy with smoothing, the auxiliary loss, decay, clipping and momentum by hand."""
    settings = RetrainSettings(
        epochs=1, batch_size=8, limit_batches=1, auxiliary_weight=0.4, label_smoothing=0.1, clip=0.05, learning_rate=0.1
    )
    seen = []
    original = module._Training._step

    def step(self, images, labels, *rest):
        if not seen:
            seen.extend([{k: v.clone() for k, v in self.network.state_dict().items()}, images.clone(), labels])
        return original(self, images, labels, *rest)

    monkeypatch.setattr(module._Training, "_step", step)
    train(tmp_path, make_splits(40), settings, fabric)
    before, images, labels = seen
    network = resize(DARTS, settings).network(4, DARTS.parse(GENOTYPE), 3).train()
    network.load_state_dict(before)

    def smoothed(logits):
        target = torch.full((len(labels), 4), 0.1 / 4)
        target[range(len(labels)), labels] += 0.9
        return -(target * logits.log_softmax(1)).sum(1).mean()

    logits, auxiliary = network.forward_with_auxiliary(images)
    loss = smoothed(logits) + 0.4 * smoothed(auxiliary)
    loss.backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in network.parameters()))
    found = weights(tmp_path)
    for name, parameter in network.named_parameters():
        if not name.startswith("auxiliary_head"):
            change = 0.05 / norm * parameter.grad + 3e-4 * parameter
            assert found[name].numpy() == pytest.approx((parameter - 0.1 * change).detach().numpy(), rel=1e-4, abs=1e-6)
    row = load_checkpoint(tmp_path / "checkpoint.safetensors")[1]["rows"][0]
    assert row["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_drop_path_rises_from_nothing_and_is_off_in_the_test(tmp_path, make_splits, fabric, monkeypatch):
    probabilities, rows = [], []
    original = module._Training._step

    def step(self, *rest):
        out = original(self, *rest)
        probabilities.append(self.network.drop_path)
        rows.append(self.network.drop_path_rows)
        return out

    monkeypatch.setattr(module._Training, "_step", step)
    settings = SMALL.model_copy(update={"epochs": 4, "drop_path": 0.2, "accumulate": 2, "limit_batches": 1})
    train(tmp_path, make_splits(40), settings, fabric)
    assert probabilities == pytest.approx([0, 0, 0.05, 0.05, 0.1, 0.1, 0.15, 0.15])  # p e / E
    assert rows[:2] == [(0, 8), (4, 8)]


def test_the_moving_average_is_that_of_the_definition(tmp_path, make_splits, fabric, monkeypatch):
    states = []
    original = Trainer._one

    def one(self, *rest):
        original(self, *rest)
        states.append({name: value.clone() for name, value in self.raw.state_dict().items()})

    monkeypatch.setattr(Trainer, "_one", one)
    settings = SMALL.model_copy(update={"ema_decay": 0.9})
    splits = make_splits(40)
    result = train(tmp_path, splits, settings, fabric, Plain(), One())
    average = states[0]
    for state in states[1:]:
        average = {name: 0.9 * average[name] + 0.1 * state[name] for name in average}
    kept = weights(tmp_path)
    for name, value in average.items():
        assert kept[name].numpy() == pytest.approx(value.numpy(), rel=1e-4, abs=1e-6)
    assert not torch.equal(kept["first.weight"], states[-1]["first.weight"])
    network = PlainNetwork(4, 3)
    network.load_state_dict(kept)
    assert measure(network, splits.test, fabric) == result  # what is kept is what was measured


def test_the_best_epoch_is_chosen_by_images_that_are_not_trained_on(tmp_path, make_splits, fabric):
    splits = make_splits(60)
    settings = SMALL.model_copy(update={"epochs": 5, "best": "held-out", "held_out": 0.25})
    parts = parts_of(splits, settings)
    assert not set(parts.train.indices.tolist()) & set(parts.judge.indices.tolist())
    assert len(parts.train) + len(parts.judge) == 60
    train(tmp_path, splits, settings, fabric, Plain(), One())
    result = json.loads((tmp_path / "result.json").read_text())
    rows = load_checkpoint(tmp_path / "checkpoint.safetensors")[1]["rows"]
    accuracies = [row["held_out_top1"] for row in rows]
    assert result["best"]["epoch"] == accuracies.index(max(accuracies)) + 1
    assert not any(key.startswith("test") for key in rows[0])  # the test set was looked at once, at the end
    network = PlainNetwork(4, 3)
    network.load_state_dict(weights(tmp_path, "best"))
    assert measure(network, parts.judge, fabric)["top1"] == max(accuracies)
    assert measure(network, splits.test, fabric) == result["best"]["test"]


def test_by_the_test_set_only_where_asked_for(tmp_path, make_splits, fabric):
    splits = make_splits(40)
    settings = SMALL.model_copy(update={"best": "test"})
    train(tmp_path, splits, settings, fabric, Plain(), One())
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["best"]["by"] == "test"
    assert result["best"]["test"]["top1"] == result["best"]["test_top1"] >= result["test"]["top1"]
    with pytest.raises(ConfigError, match="retrain.best is 'test', but the data set has no test set"):
        train(tmp_path / "none", replace(splits, test=None), settings, fabric, Plain(), One())


def test_unnormalised_images_in_training_and_test(tmp_path, make_splits, fabric):
    splits = make_splits(40)
    settings = SMALL.model_copy(update={"normalise": False})
    result = train(tmp_path, splits, settings, fabric, Plain(), One())
    facts = json.loads((tmp_path / "model.json").read_text())
    assert facts["mean"] == [0, 0, 0]
    assert facts["std"] == [1, 1, 1]
    network = PlainNetwork(4, 3)
    network.load_state_dict(weights(tmp_path))
    images, labels = next(splits.test.batches(100, torch.device("cpu")))
    logits = network(images * 0.25 + 0.5)  # undoes the data set's normalisation
    assert result["loss"] == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-5)


def test_the_kept_network_has_no_auxiliary_head(tmp_path, make_splits, fabric):
    settings = SMALL.model_copy(update={"auxiliary_weight": 0.4, "epochs": 1})
    result = train(tmp_path, make_splits(40), settings, fabric)
    facts = json.loads((tmp_path / "model.json").read_text())
    options = dict(facts["space"])
    space = open_space(options.pop("name"), **options)
    network = space.network(4, space.parse(facts["genotype"]), 3)
    network.load_state_dict(weights(tmp_path))
    assert network.auxiliary_head is None
    assert measure(network, make_splits(40).test, fabric) == result
    assert any(name.startswith("model.auxiliary_head") for name in weights(tmp_path, "checkpoint"))


def test_layouts_and_mixed_precision_learn_the_same(tmp_path, make_splits, fabric, monkeypatch):
    joined = []
    concatenate = operations.concatenate
    monkeypatch.setattr(operations, "concatenate", lambda parts: joined.append(name) or concatenate(parts))
    splits = make_splits(48)
    settings = SMALL.model_copy(update={"epochs": 3, "batch_size": 16})
    losses = {}
    for name, changes, own in (
        ("plain", {}, fabric),
        ("channels-last", {"layout": "channels-last"}, fabric),
        ("fast", {"layout": "channels-last", "gradients": "fast"}, fabric),
        ("bf16", {}, Fabric(precision="bf16-mixed")),
    ):
        losses[name] = train(tmp_path / name, splits, settings.model_copy(update=changes), own)["loss"]
    assert losses["channels-last"] == pytest.approx(losses["plain"], rel=1e-2)
    assert losses["fast"] == pytest.approx(losses["plain"], rel=1e-2)
    assert set(joined) == {"fast"}
    assert losses["bf16"] == pytest.approx(losses["plain"], rel=0.2)
    assert weights(tmp_path / "bf16")["classifier.weight"].dtype == torch.float32


def test_scaled_half_precision_unscales_before_clipping_and_resumes_its_scale(tmp_path, make_splits, monkeypatch):
    """Sixteen bits need a scaled loss; a CPU scaler stands in for a GPU's."""

    def fabric():
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=3)
        return Fabric(precision=Precision("16-mixed", torch.device("cpu"), scaler))

    splits = make_splits(40)
    settings = SMALL.model_copy(update={"epochs": 2, "checkpoint_seconds": 1e-6})
    plain = Fabric()
    train(tmp_path / "plain", splits, settings, plain, Plain(), One())
    train(tmp_path / "half", splits, settings, fabric(), Plain(), One())
    wanted, found = weights(tmp_path / "plain"), weights(tmp_path / "half")
    for name, value in wanted.items():
        assert found[name].numpy() == pytest.approx(value.numpy(), abs=5e-3)
    checks = 0

    def check(self):
        nonlocal checks
        checks += 1
        if checks == 7:
            raise Interrupted("stop")

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "check", check)
        with pytest.raises(Interrupted):
            train(tmp_path / "parts", splits, settings, fabric(), Plain(), One())
    train(tmp_path / "parts", splits, settings, fabric(), Plain(), One())
    resumed, facts = load_checkpoint(tmp_path / "parts" / "checkpoint.safetensors")
    whole, wanted_facts = load_checkpoint(tmp_path / "half" / "checkpoint.safetensors")
    assert facts["precision"] == wanted_facts["precision"]
    assert facts["precision"]["scale"] > 256
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_dry_run_is_short_and_says_so(tmp_path, make_splits, fabric):
    settings = SMALL.model_copy(update={"limit_batches": 1, "epochs": 1})
    train(tmp_path, make_splits(40), settings, fabric, Plain(), One())
    assert "at most 1 batches" in json.loads((tmp_path / "result.json").read_text())["dry_run"]
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")[1]["rows"][0]["accuracy"] * 8 % 1 == 0
