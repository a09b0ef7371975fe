"""Confusions and mistakes are those of the answers, bounded whatever the number of classes."""

import base64
import io

import pytest
import torch
from PIL import Image

from genas.data.base import Normalisation
from genas.data.loader import ResidentImages
from genas.evaluation.classification import calibration_curve, wilson
from genas.evaluation.mistakes import MATRIX, PAIRS, SHOWN, confusion, mistakes, thumbnail
from genas.evaluation.unseen import Unseen
from genas.training.standalone.loading import ModelFacts


def answers(labels, predicted, classes, sure=None):
    """Logits with these predictions; `sure` is the logit of the predicted class."""
    logits = torch.zeros(len(labels), classes)
    logits[torch.arange(len(labels)), torch.tensor(predicted)] = torch.tensor(
        sure if sure is not None else [3.0] * len(labels)
    )
    return logits, torch.tensor(labels)


def test_the_matrix_counts_true_classes_by_row():
    logits, labels = answers([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 0, 2], 3)
    found = confusion(logits, labels, ("a", "b", "c"))
    assert found["matrix"] == [[1, 2, 0], [1, 1, 0], [0, 0, 1]]
    assert found["mistakes"] == 3
    assert found["pairs"] == [
        {"true": "a", "predicted": "b", "count": 2, "share": pytest.approx(2 / 3)},
        {"true": "b", "predicted": "a", "count": 1, "share": 0.5},
    ]


def test_a_thousand_classes_give_no_matrix_and_few_pairs():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(1000, (5000,), generator=generator).tolist()
    predicted = torch.randint(1000, (5000,), generator=generator).tolist()
    found = confusion(*answers(labels, predicted, 1000), tuple(map(str, range(1000))))
    assert "matrix" not in found
    assert len(found["pairs"]) == PAIRS
    assert 4900 < found["mistakes"] <= 5000
    assert "matrix" in confusion(*answers([0], [0], MATRIX), tuple(map(str, range(MATRIX))))


def unseen(images, labels):
    plain = Normalisation((0.5,) * 3, (0.5,) * 3, "made")
    facts = ModelFacts(
        space={"name": "nasbench201"},
        genotype="x",
        classes=3,
        image_shape=tuple(images.shape[1:]),
        class_names=("a", "b", "c"),
        mean=(0.1,) * 3,
        std=(0.9,) * 3,
    )
    return Unseen(
        "made", ResidentImages(images, labels, plain), plain, facts.class_names, facts, torch.arange(len(images)) + 100
    )


def test_the_surest_mistakes_come_first_with_their_images():
    labels = torch.tensor([0, 1, 2, 0, 1])
    images = (torch.arange(5) * 50)[:, None, None, None].expand(5, 3, 8, 8).to(torch.uint8).contiguous()
    logits, _ = answers(labels.tolist(), [0, 0, 1, 2, 1], 3, sure=[9.0, 1.0, 5.0, 2.0, 9.0])
    rows, files = mistakes(logits, labels, unseen(images, labels))
    assert [(row["number"], row["true"], row["predicted"]) for row in rows] == [
        (102, "c", "b"),
        (103, "a", "c"),
        (101, "b", "a"),
    ]
    probabilities = [row["probability"] for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    for row, file in zip(rows, files, strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(file)))
        assert image.size == (64, 64)  # few pixels are enlarged
        assert image.getpixel((30, 30))[0] == pytest.approx(
            50 * (row["number"] - 100), abs=2
        )  # as stored, not normalised


def test_mistakes_are_bounded_and_may_be_none():
    count = 3 * SHOWN
    labels = torch.zeros(count, dtype=torch.int64)
    images = torch.zeros(count, 3, 8, 8, dtype=torch.uint8)
    logits, _ = answers([0] * count, [1] * count, 3)
    assert len(mistakes(logits, labels, unseen(images, labels))[0]) == SHOWN
    logits, _ = answers([0] * count, [0] * count, 3)
    assert mistakes(logits, labels, unseen(images, labels)) == ([], [])


@pytest.mark.parametrize("shape", [(3, 500, 300), (1, 8, 8), (3, 64, 64), (1, 300, 20)])
def test_thumbnails_are_small_whatever_the_image(shape):
    file = base64.b64decode(thumbnail(torch.rand(shape)))
    image = Image.open(io.BytesIO(file))
    assert 32 <= max(image.size) <= 112
    assert image.format == "JPEG"
    assert len(file) < 20_000


def test_no_point_of_the_calibration_curve_is_the_luck_of_a_few():
    generator = torch.Generator().manual_seed(2)
    logits = 3 * torch.randn(1000, 4, generator=generator)
    labels = torch.distributions.Categorical(logits=logits).sample()  # calibrated
    rows = calibration_curve(logits, labels)
    assert len(rows) == 15
    assert all(66 <= row["count"] <= 67 for row in rows)
    assert [row["confidence"] for row in rows] == sorted(row["confidence"] for row in rows)
    assert sum(row["low"] <= row["confidence"] <= row["high"] for row in rows) >= 12
    assert len(calibration_curve(logits[:120], labels[:120])) == 2
    assert calibration_curve(logits[:7], labels[:7])[0]["count"] == 7
    assert wilson(0.0, 20)[0] == 0
    assert wilson(1.0, 20) == (pytest.approx(0.8389, abs=1e-4), 1.0)
