"""The whole evaluation of one network: right figures, whatever the batch size, and the network untouched."""

import copy

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from genas.core.errors import ConfigError, DataError
from genas.evaluation.corruptions import CORRUPTIONS
from genas.evaluation.latency import LatencySettings, measure_latency
from genas.evaluation.measure import evaluate_model
from genas.evaluation.settings import EvaluateSettings
from genas.evaluation.unseen import own_test_set
from genas.training.standalone.loading import load_model

QUICK = {"with_latency": False, "with_flatness": False, "limit": 60}


@pytest.fixture
def model(trained_folder):
    return load_model(trained_folder / "model.safetensors")


def write(root, classes, count=3):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("L", (16, 16), 20 * number + index).save(root / name / f"{index}.png")
    return f"folder:{root}"


def measured(model, digits, fabric, **settings):
    return evaluate_model(model, "digits", digits, EvaluateSettings(**(QUICK | settings)), fabric, quiet=True)


def test_the_clean_accuracy_is_that_of_a_plain_loop(model, digits, fabric):
    found = measured(model, digits, fabric, limit=None)["clean"]
    images, labels = next(digits.test.batches(1000, torch.device("cpu")))
    with torch.no_grad():
        logits = model.network(images)
    assert found["pictures"] == len(labels) == 359
    assert found["top1"] == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
    assert found["top1"] > 0.4  # it has learnt something, so the figures below mean something
    assert found["nll"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert [row["name"] for row in found["per_class"]] == list("0123456789")
    assert sum(row["count"] for row in found["per_class"]) == 359


def test_nothing_depends_on_the_batch_size_and_the_network_stays_as_it_is(model, digits, fabric):
    before = copy.deepcopy(model.network.state_dict())
    shifts = {"shifts": ("noise", "jpeg", "motion-blur")}
    large = measured(model, digits, fabric, **shifts)
    small = measured(model, digits, fabric, batch_size=7, **shifts)
    assert small["corruptions"] == large["corruptions"]
    assert small["clean"]["top1"] == large["clean"]["top1"]
    assert small["clean"]["nll"] == pytest.approx(large["clean"]["nll"], rel=1e-6)
    assert all(torch.equal(before[name], value) for name, value in model.network.state_dict().items())
    other = measured(model, digits, fabric, seed=1, **shifts)["corruptions"]["accuracy"]
    assert other["jpeg"] == large["corruptions"]["accuracy"]["jpeg"]
    assert other != large["corruptions"]["accuracy"]


def test_corruption_accuracies_are_those_of_the_corrupted_images(model, digits, fabric):
    found = measured(model, digits, fabric, shifts=("contrast", "shot-noise"), corruption_images=20)["corruptions"]
    test = own_test_set("digits", digits, model.facts).thinned(60).thinned(20)
    images, labels, numbers = next(test.pixels(100, torch.device("cpu")))
    rows = {}
    for name in ("shot-noise", "contrast"):
        rows[name] = []
        for severity in range(1, 6):
            spoilt = CORRUPTIONS[name](images, severity, numbers.tolist(), 0)
            right = model.network(test.normalised(spoilt)).argmax(1) == labels
            rows[name].append(float(right.double().mean()))
    assert found["accuracy"] == rows
    assert list(found["accuracy"]) == ["shot-noise", "contrast"]
    assert found["pictures"] == 20
    everything = [value for row in rows.values() for value in row]
    assert found["mean_corruption_accuracy"] == pytest.approx(sum(everything) / 10)
    clean = float((model.network(test.normalised(images)).argmax(1) == labels).double().mean())
    assert found["clean_top1"] == pytest.approx(clean)
    assert found["relative_drop"] == pytest.approx(1 - found["mean_corruption_accuracy"] / clean)
    assert found["groups"] == {"shot-noise": "noise", "contrast": "tone"}


def test_a_shift_with_some_classes_restricts_the_logits(model, digits, fabric, tmp_path):
    for label in (3, 8):
        (tmp_path / str(label)).mkdir()
        chosen = digits.test.indices[digits.test.labels == label]
        for number, index in enumerate(chosen.tolist()):
            Image.fromarray(digits.test.store.pixels[index, 0].numpy()).save(tmp_path / str(label) / f"{number}.png")
    (tmp_path / "eleven").mkdir()
    Image.new("L", (16, 16)).save(tmp_path / "eleven" / "0.png")
    (found,) = measured(model, digits, fabric, limit=None, shifts=(f"folder:{tmp_path}",))["shifts"]
    assert found["classes"] == 2
    assert found["unmatched"] == ["eleven"]
    assert found["pictures_left_out"] == 1
    assert found["matched_by"] == "name"
    images, labels = next(digits.test.batches(1000, torch.device("cpu")))
    inside = (labels == 3) | (labels == 8)
    restricted = model.network(images[inside])[:, [3, 8]].argmax(1)
    wanted = float((torch.tensor([3, 8])[restricted] == labels[inside]).double().mean())
    assert found["same_classes_top1"] == pytest.approx(wanted)
    assert found["top1"] == pytest.approx(wanted)  # the very images of the test set
    assert found["pictures"] == int(inside.sum())
    assert found["notes"] == ["coloured images turned grey"]


def test_shifts_without_a_known_class_are_refused(model, digits, fabric, tmp_path):
    with pytest.raises(DataError, match="None of the classes"):
        measured(model, digits, fabric, shifts=(write(tmp_path / "a", ("ant", "bee")),))
    (tmp_path / "b" / "3").mkdir(parents=True)
    write(tmp_path / "b", ("ant",))
    with pytest.raises(DataError, match="No image of .* is of a class that the network knows"):
        measured(model, digits, fabric, shifts=(f"folder:{tmp_path / 'b'}",))


def test_outsiders_are_scored_and_must_be_outsiders(model, digits, fabric, tmp_path):
    (found,) = measured(model, digits, fabric, ood=(write(tmp_path / "a", ("ant", "bee"), 8),))["ood"]
    assert found["pictures"] == 16
    for score in ("max_softmax", "energy"):
        assert 0 <= found[score]["auroc"] <= 1
        assert found[score]["base_rate_out"] == pytest.approx(16 / 76)
    with pytest.raises(DataError, match="has the class 7, which is one of the network's"):
        measured(model, digits, fabric, ood=(write(tmp_path / "b", ("ant", "7")),))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shifts": ("fog",)}, "unknown shift 'fog'; known are corruptions, noise, "),
        ({"shifts": ("jpg",)}, "Did you mean 'jpeg'"),
        ({"ood": ("noise",)}, "unknown shift 'noise'"),
        ({"shifts": ("saturation",)}, "does nothing to images of one channel"),
    ],
)
def test_unknown_shifts_are_refused_before_any_work(model, digits, fabric, settings, message):
    with pytest.raises(ConfigError, match=message):
        measured(model, digits, fabric, **settings)


def test_latency_has_ordered_quantiles(model, fabric):
    settings = LatencySettings(batch_sizes=(1, 8), warmup=1, repeats=12)
    rows = measure_latency(model.network, (1, 16, 16), fabric, settings)
    assert [row["batch_size"] for row in rows] == [1, 8]
    for row in rows:
        assert 0 < row["q05"] <= row["q25"] <= row["median"] <= row["q75"] <= row["q95"]
        assert row["throughput"] == pytest.approx(row["batch_size"] / row["median"])
    with pytest.raises(ValidationError):
        LatencySettings(repeats=1)


def test_flatness_on_training_images_is_that_of_other_images(model, digits, fabric):
    quick = {"draws": 2, "sigmas": (0.01,), "relative_sigmas": (), "adaptive_rho": ()}
    on = {
        name: measured(model, digits, fabric, with_flatness=True, flatness={**quick, "on": name, "pictures": 50})
        for name in ("test", "train")
    }
    assert on["test"]["flatness"]["loss"] != on["train"]["flatness"]["loss"]
    found = on["train"]["flatness"]
    assert (found["on"], found["pictures"]) == ("train", 50)
    assert list(found["noise"]) == ["absolute"]
    assert "flatness" not in found["noise"]["absolute"]  # a slope needs two strengths
    assert [row["kind"] for row in found["sharpness"]] == ["plain"]
