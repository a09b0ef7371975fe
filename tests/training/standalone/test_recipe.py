"""The published recipes, number for number, and what is said of wrong ones."""

import pytest

from genas.core.errors import ConfigError
from genas.training.standalone.recipe import (
    RetrainSettings,
    read_recipe,
    recipe_names,
    recipe_title,
    validated_settings,
)

# The columns of methods.md 2.3: epochs, batch, rate, schedule, decay, clip, drop-path, cutout, smoothing, auxiliary
PUBLISHED = {
    "darts-cifar10": (600, 96, 0.025, "cosine", 3e-4, 5, 0.2, 16, 0, 0.4),
    "pc-darts-cifar": (600, 96, 0.025, "cosine", 3e-4, 5, 0.3, 16, 0, 0.4),
    "p-darts-cifar": (600, 128, 0.025, "cosine", 3e-4, 5, 0.3, 16, 0, 0.4),
    "dropnas-cifar10": (600, 192, 0.05, "cosine", 3e-4, 3, 0.2, 16, 0, 0.4),
    "darts-imagenet": (250, 128, 0.1, "exponential", 3e-5, 5, 0, 0, 0.1, 0.4),
    "p-darts-imagenet": (250, 256, 0.1, "linear", 3e-5, 5, 0, 0, 0.1, 0.4),
    "pc-darts-imagenet": (250, 1024, 0.5, "linear", 3e-5, 5, 0, 0, 0.1, 0.4),
    "genas-imagenet": (250, 1024, 0.5, "linear", 3e-5, 5, 0, 0, 0.1, 0.4),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name):
    s = validated_settings(read_recipe(name), name)
    assert (
        s.epochs,
        s.batch_size,
        s.learning_rate,
        s.schedule,
        s.weight_decay,
        s.clip,
        s.drop_path,
        s.cutout,
        s.label_smoothing,
        s.auxiliary_weight,
    ) == PUBLISHED[name]
    assert s.momentum == 0.9
    assert not s.nesterov
    assert s.final_learning_rate == 0
    imagenet = name.endswith("imagenet")
    assert (s.cells, s.channels, s.stem) == ((14, 48, "imagenet") if imagenet else (20, 36, "cifar"))
    assert s.pool_bn == (True if name.startswith("dropnas") else None)
    assert s.auxiliary_bn == (True if name == "p-darts-imagenet" else None)
    assert s.flip is True
    if name == "genas-imagenet":
        assert (s.crop, s.colour_jitter, s.lighting, s.normalise) == ("square", None, 0.1, False)
    elif imagenet:
        assert (s.crop, s.colour_jitter, s.lighting, s.normalise) == ("resized", (0.4, 0.4, 0.4, 0.2), 0, True)
    else:
        assert (s.crop, s.colour_jitter, s.lighting, s.normalise) == ("data-set", None, 0, True)
    assert recipe_title(name)
    assert "#" not in recipe_title(name)


def test_every_file_is_a_recipe_and_short_names_stand_for_them():
    assert {*PUBLISHED, "nasbench201", "nasbench-macro"} == set(recipe_names())
    assert read_recipe("cifar") == read_recipe("darts-cifar10")
    assert read_recipe("imagenet") == read_recipe("genas-imagenet")
    benchmark = validated_settings(read_recipe("nasbench201"), "nasbench201")  # 13.2
    assert (benchmark.epochs, benchmark.batch_size, benchmark.learning_rate) == (200, 256, 0.1)
    assert (benchmark.nesterov, benchmark.weight_decay, benchmark.clip) == (True, 5e-4, None)


def test_the_short_retraining_of_a_search_is_what_it_was():
    s = RetrainSettings()
    assert (s.epochs, s.batch_size, s.learning_rate, s.schedule, s.clip) == (20, 96, 0.025, "cosine", 5)
    assert (s.auxiliary_weight, s.drop_path, s.cutout, s.best, s.layout) == (0, 0, 0, "none", "contiguous")
    assert (s.ema_decay, s.accumulate, s.warmup_epochs, s.normalise) == (None, 1, 0, True)


def test_a_recipe_of_ones_own(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 3\nclip: null\n")
    assert read_recipe(str(file)) == {"epochs": 3, "clip": None}
    file.write_text("retrain:\n  epochs: 3\n")
    assert read_recipe(str(file)) == {"epochs": 3}
    file.write_text("")
    assert read_recipe(str(file)) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "unknown key 'epoch' \\(did you mean 'epochs'\\?\\)"),
        ("zzz: 3", "unknown key 'zzz' \\(known here are epochs, batch_size"),
        ("epochs: many", "epochs is 'many': input should be a valid integer"),
        ("epochs: 0\nmomentum: 2", "epochs is 0: .*; momentum is 2: "),
        ("schedule: liner", "schedule is 'liner': input should be 'cosine', 'exponential' or 'linear'"),
        ("- a", "holds a list: expected a mapping of settings"),
        ("a: [", "is not YAML"),
        ("schedule: linear\nepochs: 5", "needs more epochs than that, but epochs is 5; set tail_epochs lower"),
        ("schedule: linear\nshifted_schedule: true", "the linear schedule is never shifted"),
        ("tail: rising", "a rising tail belongs to the linear schedule, not to cosine"),
        ("lighting_8bit: true", "lighting_8bit needs a lighting above 0"),
        ("nesterov: true\nmomentum: 0", "nesterov needs a momentum above 0"),
        ("colour_jitter: [0.4, 0.4, 0.4, 0.7]", "the hue is at most 0.5"),
    ],
)
def test_wrong_recipes(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_recipe(str(file))


def test_unknown_recipe():
    with pytest.raises(ConfigError, match="there is no recipe 'cifra'.* Did you mean 'cifar'\\?"):
        read_recipe("cifra")
