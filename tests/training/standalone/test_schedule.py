"""Learning rates at the epochs that the publications fix, and against torch's own schedulers."""

from itertools import pairwise

import pytest
import torch

from genas.training.standalone.recipe import RetrainSettings, read_recipe, validated_settings
from genas.training.standalone.schedule import learning_rate


def recipe(name, **changes):
    return validated_settings({**read_recipe(name), **changes}, name)


def stepped(scheduler_of, first, epochs):
    """What torch's scheduler gives for each epoch when it is stepped after the epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=first)
    scheduler = scheduler_of(optimizer)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_equals_torchs():
    settings = recipe("darts-cifar10")
    wanted = stepped(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 600), 0.025, 600)
    found = [learning_rate(settings, epoch) for epoch in range(600)]
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert found[0] == 0.025
    assert found[300] == pytest.approx(0.0125)
    assert 0 < found[599] < 1e-6


def test_exponential_equals_torchs():
    settings = recipe("darts-imagenet")
    wanted = stepped(lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.97), 0.1, 250)
    assert [learning_rate(settings, epoch) for epoch in range(250)] == pytest.approx(wanted, rel=1e-9)


def test_linear_repeats_its_value_at_the_switch():
    settings = recipe("pc-darts-imagenet", warmup_epochs=0)
    rate = [learning_rate(settings, epoch) for epoch in range(250)]
    assert rate[0] == 0.5
    assert rate[100] == pytest.approx(0.5 * 145 / 245)
    assert rate[244] == pytest.approx(0.5 / 245)
    assert rate[245] == pytest.approx(0.5 / 245)
    assert rate[246] == pytest.approx(0.5 * 4 / (5 * 245))
    assert rate[249] == pytest.approx(0.5 / (5 * 245))
    falls = [before - after for before, after in pairwise(rate)]
    assert sum(fall == pytest.approx(0, abs=1e-15) for fall in falls) == 1
    assert min(falls) > -1e-15


def test_the_tail_of_p_darts_code_rises():
    """Its script: learning_rate * (epoch - epochs + 6) / ((epochs - 5) * 5) in the last five epochs."""
    falling, rising = (recipe("p-darts-imagenet", tail=tail) for tail in ("falling", "rising"))
    assert recipe("p-darts-imagenet").tail == "falling"
    for epoch in range(245):
        assert learning_rate(rising, epoch) == learning_rate(falling, epoch)
    for epoch in range(245, 250):
        assert learning_rate(rising, epoch) == pytest.approx(0.1 * (epoch - 250 + 6) / (245 * 5))
        assert learning_rate(falling, epoch) == pytest.approx(0.1 * (250 - epoch) / (245 * 5))


def test_the_three_published_warm_ups():
    line = [0.5 * (245 - epoch) / 245 for epoch in range(250)]
    always = recipe("genas-imagenet", batch_size=128)  # whatever the batch
    assert [learning_rate(always, e) for e in range(6)] == pytest.approx(
        [line[e] * (e + 1) / 5 for e in range(5)] + [line[5]]
    )
    first = recipe("pc-darts-imagenet")
    assert [learning_rate(first, e) for e in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, line[5]])
    assert learning_rate(recipe("pc-darts-imagenet", batch_size=256), 0) == 0.5
    default = recipe("p-darts-imagenet")  # batch 256: none
    assert learning_rate(default, 0) == 0.1
    large = recipe("p-darts-imagenet", batch_size=1024, learning_rate=0.5)
    assert [learning_rate(large, e) for e in range(5)] == pytest.approx([line[e] * (e + 1) / 5 for e in range(5)])


def test_the_shifted_schedule_is_that_of_the_next_epoch():
    for name in ("darts-cifar10", "darts-imagenet"):
        plain, shifted = recipe(name), recipe(name, shifted_schedule=True)
        assert [learning_rate(shifted, e) for e in range(9)] == [learning_rate(plain, e + 1) for e in range(9)]
    assert learning_rate(recipe("darts-cifar10", shifted_schedule=True), 599) == 0


def test_a_tail_of_none_is_a_straight_line():
    settings = RetrainSettings(schedule="linear", epochs=4, tail_epochs=0, learning_rate=1.0)
    assert [learning_rate(settings, e) for e in range(4)] == [1.0, 0.75, 0.5, 0.25]
