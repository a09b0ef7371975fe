"""What learnt nothing is told, what learnt something is not, whatever the classes' shares."""

import numpy as np
import pytest

from genas.analysis.verdicts.training import (
    against_chance,
    retrained_at_chance,
    retrained_below_supernet,
    supernet_not_trained,
)

RANDOM = np.random.default_rng(5)


def paths(labels, classes, knowledge, count=4, noise=0.3):
    """Losses and hits of paths whose logit of the true class is `knowledge` above the others, plus noise."""
    logits = RANDOM.normal(0, noise, (count, len(labels), classes))
    logits[:, np.arange(len(labels)), labels] += knowledge
    losses = (
        np.log(np.exp(logits).sum(2)) - np.take_along_axis(logits, labels[None, :, None].repeat(count, 0), 2)[..., 0]
    )
    return losses, (logits.argmax(2) == labels).astype(float)


def chance(knowledge, classes=10, images=800, shares=None, **options):
    labels = RANDOM.choice(classes, images, p=shares)
    return against_chance(*paths(labels, classes, knowledge, **options), labels, classes)


def test_a_supernet_that_knows_nothing_is_told_what_to_do():
    found = chance(0.0)
    assert not found.trained
    verdict = supernet_not_trained(found, 5)
    assert verdict.code == "supernet-not-trained"
    assert "supernet.epochs=20" in verdict.sentence
    assert "is not shown to be better than chance" in verdict.sentence
    assert f"chance {found.chance_loss:.4f}" in verdict.sentence
    assert found.chance_loss == pytest.approx(np.log(10), abs=0.02)


def test_a_gain_that_is_sure_and_a_trace_is_not_enough():
    """The loss of 2.2985 where ln 10 is 2.3026: over many images no luck, and still nothing."""
    found = chance(0.01, images=20_000, noise=0.02)
    assert found.loss_errors > 3
    assert found.accuracy > 0.15
    assert "has learnt next to nothing" in supernet_not_trained(found, 5).sentence
    assert not found.trained


def test_a_little_knowledge_is_enough():
    found = chance(1.5, noise=1.0)
    assert 0.3 < found.accuracy < 0.6
    assert found.trained
    assert supernet_not_trained(found, 5) is None


def test_accuracy_counts_where_the_loss_is_worse_than_chance():
    labels = RANDOM.choice(10, 800)
    losses, right = paths(labels, 10, 2.0, noise=1.0)
    found = against_chance(losses * 20, right, labels, 10)  # right and far too sure of what is wrong
    assert found.loss > found.chance_loss
    assert found.trained


def test_always_naming_the_largest_class_is_no_knowledge():
    shares = [0.8, 0.1, 0.1]
    labels = RANDOM.choice(3, 900, p=shares)
    losses = -np.log(np.array(shares))[labels][None].repeat(4, 0)
    found = against_chance(losses, (labels == 0).astype(float)[None].repeat(4, 0), labels, 3)
    assert found.accuracy > 0.75
    assert not found.trained
    assert chance(2.0, classes=3, shares=shares).trained


def test_retrained_networks():
    assert retrained_at_chance(0.11, 1000, 10).code == "retrained-at-chance"
    assert retrained_at_chance(0.20, 1000, 10) is None
    assert retrained_at_chance(0.20, 10, 10) is not None  # two of ten images are luck
    assert retrained_below_supernet(0.5, 1000, 0.8, 1000).code == "retrained-below-supernet"
    assert retrained_below_supernet(0.78, 1000, 0.8, 1000) is None
    assert retrained_below_supernet(0.9, 1000, 0.8, 1000) is None
    assert retrained_below_supernet(0.5, 0, 0.8, 1000) is None
