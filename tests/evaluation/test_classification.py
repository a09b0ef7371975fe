"""Figures from logits, compared with slow computations by the definition."""

import math

import pytest
import torch

from genas.evaluation.classification import detection, figures, per_class, reliability


@pytest.fixture(scope="module")
def case():
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 7, (200,), generator=generator)
    logits = torch.randn((200, 7), generator=generator) + 1.5 * torch.nn.functional.one_hot(labels, 7)
    return logits, labels


def slow_calibration_error(logits, labels, bins):
    total = 0.0
    rows = [(float(p.max()), int(p.argmax() == y)) for p, y in zip(logits.double().softmax(1), labels, strict=True)]
    for number in range(bins):
        inside = [
            row for row in rows if number / bins <= row[0] < (number + 1) / bins or (row[0] == number + 1 == bins)
        ]
        if inside:
            confidence, right = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            total += len(inside) / len(rows) * abs(right - confidence)
    return total


def test_figures_are_those_of_the_definitions(case):
    logits, labels = case
    found = figures(logits, labels)
    right = [int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True)]
    top5 = [int(label) in row.topk(5).indices.tolist() for row, label in zip(logits, labels, strict=True)]
    nll = -sum(math.log(float(row.double().softmax(0)[label])) for row, label in zip(logits, labels, strict=True))
    share = sum(right) / 200
    assert found["pictures"] == 200
    assert found["top1"] == pytest.approx(share)
    assert found["top1_standard_error"] == pytest.approx(math.sqrt(share * (1 - share) / 200))
    assert found["top5"] == pytest.approx(sum(top5) / 200)
    assert found["nll"] == pytest.approx(nll / 200)
    assert found["ece"] == pytest.approx(slow_calibration_error(logits, labels, 15), abs=1e-6)
    assert figures(logits, labels, 4)["ece"] == pytest.approx(slow_calibration_error(logits, labels, 4), abs=1e-6)


def test_five_classes_have_no_top5(case):
    logits, labels = case
    assert "top5" not in figures(logits[:, :5], labels % 5)


def test_the_bins_of_the_diagram_make_up_the_calibration_error(case):
    logits, labels = case
    rows = reliability(logits, labels)
    assert len(rows) == 15
    assert sum(row["count"] for row in rows) == 200
    filled = [row for row in rows if row["count"]]
    error = sum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in filled) / 200
    assert error == pytest.approx(figures(logits, labels)["ece"], abs=1e-6)
    assert all(row["low"] <= row["confidence"] <= row["high"] for row in filled)


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not():
    labels = torch.arange(6)
    certain = 200.0 * torch.eye(6)
    assert figures(certain, labels)["ece"] == pytest.approx(0, abs=1e-6)
    assert figures(certain, (labels + 1) % 6)["ece"] == pytest.approx(1, abs=1e-6)
    assert reliability(certain, labels)[-1]["count"] == 6  # a confidence of 1 is in the last bin


def test_accuracy_by_class_averages_to_the_accuracy(case):
    logits, labels = case
    rows = per_class(logits, labels, tuple("abcdefgh"[:7]))
    assert sum(row["count"] * row["accuracy"] for row in rows) / 200 == pytest.approx(figures(logits, labels)["top1"])
    empty = per_class(logits[labels != 2], labels[labels != 2], tuple("abcdefg"))[2]
    assert empty == {"name": "c", "count": 0}


def test_detection_is_the_share_of_ordered_pairs(case):
    inside = case[0]
    outside = torch.randn((60, 7), generator=torch.Generator().manual_seed(5))
    found = detection(inside, outside)
    scores = {
        "max_softmax": lambda x: x.double().softmax(1).amax(1),
        "energy": lambda x: x.double().exp().sum(1).log(),
    }
    for name, score in scores.items():
        ours, theirs = score(inside), score(outside)
        pairs = (ours[:, None] > theirs).double() + 0.5 * (ours[:, None] == theirs).double()
        assert found[name]["auroc"] == pytest.approx(float(pairs.mean()), abs=1e-6)
        # average precision by its definition: precision at every outsider, in the order of suspicion
        ranked = sorted([(float(s), 0) for s in ours] + [(float(s), 1) for s in theirs])
        hits, precision = 0, 0.0
        for place, (_, is_out) in enumerate(ranked, 1):
            hits += is_out
            precision += is_out * hits / place
        assert found[name]["aupr_out"] == pytest.approx(precision / 60, abs=1e-6)
        threshold = sorted(ours.tolist())[int(0.05 * 199)]
        assert found[name]["fpr_at_95"] == pytest.approx(float((theirs >= threshold).double().mean()))
        assert found[name]["base_rate_out"] == pytest.approx(60 / 260)


def test_detection_does_not_saturate():
    inside, outside = torch.zeros((50, 3)), torch.zeros((50, 3))
    inside[:, 0] = torch.linspace(60, 80, 50)  # a sigmoid of the energies would be 1 for all of them
    outside[:, 0] = torch.linspace(40, 59, 50)
    assert detection(inside, outside)["energy"] == {
        "auroc": 1.0,
        "aupr_out": pytest.approx(1.0),
        "aupr_in": pytest.approx(1.0),
        "fpr_at_95": 0.0,
        "base_rate_out": 0.5,
    }
