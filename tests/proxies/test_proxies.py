import dataclasses
import itertools
import math
import random
import re

import pytest
import torch

from genas.core.errors import ConfigError, GenasError
from genas.data.base import Normalisation
from genas.data.loader import ResidentImages
from genas.proxies import (
    KNOWN,
    BatchNormSettings,
    EvaluationSettings,
    Proxy,
    ProxySettings,
    Score,
    Scoring,
    checked_score,
    open_proxy,
    parse_expression,
)
from genas.proxies.expression import Part, sections_read
from genas.spaces.base import Architecture

SETTINGS = ProxySettings(
    flatness={"sigmas": (0.01, 0.03)},
    zero_cost={"images": 8, "naswot_images": 8},
    curvature={"images": 8, "probes": 2, "neighbours": 1},
)
NAMES = [*KNOWN, "angle + 16*flatness - 0.5*loss"]


class Constant(Proxy):
    """A user's proxy."""

    def score(self, architecture: Architecture) -> float:
        return 2.5


def state(scoring: Scoring) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in scoring.supernet.state_dict().items()}


@pytest.mark.parametrize("name", NAMES)
def test_leaves_the_supernet_bit_identical(scoring, name):
    before = state(scoring)
    proxy = open_proxy(scoring, SETTINGS.model_copy(update={"expression": name}))
    rng = random.Random(0)
    for _ in range(2):
        proxy.score(scoring.space.sample(rng))
    after = scoring.supernet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not scoring.supernet.training


@pytest.mark.parametrize("name", NAMES)
def test_score_does_not_depend_on_what_was_scored_before(scoring, name):
    rng = random.Random(1)
    wanted, other = scoring.space.sample(rng), scoring.space.sample(rng)
    settings = SETTINGS.model_copy(update={"expression": name})
    first = open_proxy(scoring, settings).score(wanted)
    proxy = open_proxy(scoring, settings)
    proxy.score(other)
    scoring.forget()
    assert proxy.score(wanted) == first


@pytest.mark.parametrize("name", KNOWN)
def test_what_no_logit_depends_on_does_not_change_a_score_that_is_shared_by_function(nas_scoring, name):
    dead = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|none~2|"
    bare = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    first, second = (nas_scoring.space.parse(text) for text in (dead, bare))
    assert nas_scoring.space.function_key(first) == nas_scoring.space.function_key(second)
    proxy = open_proxy(nas_scoring, SETTINGS.model_copy(update={"expression": name}))
    if proxy.by_function:
        assert proxy.score(first).value == pytest.approx(proxy.score(second).value, rel=1e-5)
    else:  # counts, paths and neighbours do depend on it
        counts = ("params", "macs", "benchmark-params", "benchmark-macs")
        assert name in ("angle", "neighbour-flatness", "consensus", *counts)
        assert name == "angle" or proxy.score(first).value != proxy.score(second).value


def test_sum_is_normalised_as_published_and_shares_add_up(scoring):
    architecture = scoring.space.sample(random.Random(3))
    angle = open_proxy(scoring, SETTINGS.model_copy(update={"expression": "angle"})).score(architecture)
    flat = open_proxy(scoring, SETTINGS).score(architecture)
    score = open_proxy(scoring, SETTINGS.model_copy(update={"expression": "angle + 16*flatness"})).score(architecture)
    # methods.md 4.3: angle / pi + gamma * FBS, gamma = w / sigma_1
    assert score.value == pytest.approx(angle.value / math.pi + 16 / 0.01 * flat.value)
    assert score.terms["angle"]["share"] + score.terms["flatness"]["share"] == pytest.approx(1)
    assert score.terms["flatness"]["losses"] == flat.terms["losses"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("flatness", (Part(1, "flatness"),)),
        (" angle+16*flatness ", (Part(1, "angle"), Part(16, "flatness"))),
        ("0.5*accuracy - 2e-1*loss", (Part(0.5, "accuracy"), Part(-0.2, "loss"))),
        ("-loss", (Part(-1, "loss"),)),
        ("angle + my.module:Own", (Part(1, "angle"), Part(1, "my.module:Own"))),
        ("loss + 0.1*jacob-cov", (Part(1, "loss"), Part(0.1, "jacob-cov"))),
        ("loss-jacob-cov", (Part(1, "loss"), Part(-1, "jacob-cov"))),
        ("jacob-cov-loss", (Part(1, "jacob-cov"), Part(-1, "loss"))),
        ("jacob-cov - 2*grad-norm", (Part(1, "jacob-cov"), Part(-2, "grad-norm"))),
        ("loss-0.5*grad-norm-angle", (Part(1, "loss"), Part(-0.5, "grad-norm"), Part(-1, "angle"))),
        ("-grad-norm", (Part(-1, "grad-norm"),)),
        ("my-file:Own-loss", (Part(1, "my-file:Own"), Part(-1, "loss"))),
    ],
)
def test_expressions(text, parts):
    assert parse_expression(text) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "character 1"),
        ("angle +", "got the end"),
        ("angle flatness", "character 7"),
        ("3 flatness", "character 3"),
        ("angle & loss", "character 6"),
        ("flatnes", "Did you mean 'flatness'"),
        ("0*angle", "is 0"),
        ("angle + angle", "twice"),
        ("jacob-cof", "Did you mean 'jacob-cov'"),
        ("jacob - cov", "unknown proxy 'jacob'"),
        ("loss-angel", "unknown proxy 'angel'"),
    ],
)
def test_malformed_expressions_say_where(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_expression(text)


def test_no_known_name_can_also_be_read_as_a_difference():
    for name in KNOWN:
        for place, letter in enumerate(name):
            assert letter != "-" or name[:place] not in KNOWN, name


def test_own_proxy_by_name_and_alone_or_in_a_sum(scoring, monkeypatch):
    import sys
    import types

    module = types.ModuleType("own_proxy")
    module.Constant = Constant
    monkeypatch.setitem(sys.modules, "own_proxy", module)
    architecture = scoring.space.sample(random.Random(0))
    alone = open_proxy(scoring, ProxySettings(expression="own_proxy:Constant"))
    assert checked_score(alone, architecture) == Score(2.5)
    twice = open_proxy(scoring, ProxySettings(expression="2*own_proxy:Constant"))
    assert checked_score(twice, architecture).value == 5.0
    with pytest.raises(ConfigError, match="not a subclass"):
        open_proxy(scoring, ProxySettings(expression="math:pi"))
    with pytest.raises(ConfigError, match="cannot be imported"):
        open_proxy(scoring, ProxySettings(expression="no_such_module:X"))


def test_a_score_that_is_not_finite_is_refused(scoring):
    class Broken(Proxy):
        def score(self, architecture: Architecture) -> float:
            return math.nan

    with pytest.raises(GenasError, match="nan"):
        checked_score(Broken(scoring), scoring.space.sample(random.Random(0)))


def test_accuracy_and_loss_agree_with_a_plain_loop(scoring):
    architecture = scoring.space.sample(random.Random(9))
    network = scoring.prepared(architecture)
    right, total, loss = 0, 0, 0.0
    with torch.no_grad():
        for images, labels in scoring.validation_batches():
            for image, label in zip(images, labels, strict=True):
                logits = network(image[None])
                right += int(logits.argmax() == label)
                loss += float(torch.nn.functional.cross_entropy(logits, label[None]))
                total += 1
    assert total == len(scoring.splits.validation)
    assert open_proxy(scoring, ProxySettings(expression="accuracy")).score(architecture).value == right / total
    assert open_proxy(scoring, ProxySettings(expression="loss")).score(architecture).value == pytest.approx(
        -loss / total, rel=1e-4
    )


def test_angle_equals_the_concatenated_vectors(scoring):
    """The angle by really concatenating, with each operation repeated once per path."""
    architecture = scoring.space.sample(random.Random(11))
    terms = scoring.space.angle_terms(scoring.supernet, architecture)
    trained = dict(scoring.supernet.named_parameters())
    before, after = [], []
    for name, multiplicity in terms.parameters:
        before.extend([scoring.initial[name].double().flatten()] * multiplicity)
        after.extend([trained[name].detach().double().flatten()] * multiplicity)
    constant = torch.full((1,), math.sqrt(terms.constant_square), dtype=torch.float64)
    first, second = torch.cat([*before, constant]), torch.cat([*after, constant])
    expected = math.acos(float(first @ second / first.norm() / second.norm()))
    score = open_proxy(scoring, ProxySettings(expression="angle")).score(architecture)
    assert score.value == pytest.approx(expected if terms.has_path else 0.0, abs=1e-7)


def test_batches_side_by_side_give_what_one_thread_gives(scoring, monkeypatch):
    monkeypatch.setattr(scoring, "evaluation", EvaluationSettings(batch_size=8))
    network = scoring.prepared(scoring.space.sample(random.Random(0)))
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(scoring.image_losses(network))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    (losses, right), (others, too) = found
    torch.testing.assert_close(
        losses, others, rtol=1e-6, atol=1e-7
    )  # one batch each: also the order is that of the walk
    assert torch.equal(right, too)


def test_an_error_in_a_thread_is_raised_and_the_threads_are_given_back(scoring):
    before = torch.get_num_threads()

    def fail(item):
        raise ValueError(f"batch {item}")

    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="batch 0"):
            list(scoring._side_by_side(fail, range(9)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", KNOWN)
def test_a_proxy_reads_no_other_settings_than_it_is_said_to(nas_scoring, name):
    settings = SETTINGS.model_copy(update={"expression": name})
    read = sections_read(settings)
    assert {"expression", "evaluation", "batchnorm"} <= read
    others = dict.fromkeys(set(ProxySettings.model_fields) - read)
    assert others
    open_proxy(nas_scoring, settings.model_copy(update=others))  # would fail where it looked at them


def test_proxies_of_ones_own_may_read_everything():
    settings = SETTINGS.model_copy(update={"expression": "angle + my.module:Own"})
    assert sections_read(settings) == set(ProxySettings.model_fields)


def test_relative_flatness_is_flatness_at_other_settings(scoring):
    architecture = scoring.space.sample(random.Random(4))
    preset = open_proxy(scoring, ProxySettings(expression="relative-flatness"))
    same = {"sigmas": (0.1, 0.2, 0.4), "scale": "filter", "draws": 32, "draw_images": "dealt"}
    flatness = open_proxy(scoring, ProxySettings.model_validate({"expression": "flatness", "flatness": same}))
    assert preset.score(architecture) == flatness.score(architecture)
    assert not preset.raceable
    own = {"draws": 3, "draw_images": "all"}
    changed = {"expression": "relative-flatness", "relative_flatness": own, "flatness": {"draws": 9}}
    other = open_proxy(scoring, ProxySettings.model_validate(changed))
    assert len(other.score(architecture).terms["losses_by_draw"]) == 3
    assert other.raceable


def numbered_scoring(nas_scoring, fabric, **options):
    """Scoring whose training images carry their number: pixel = number % 250 in one channel, number // 250 in two."""
    count = 2000
    numbers = torch.arange(count)
    pixels = torch.stack([numbers % 250, numbers // 250, numbers // 250], 1).to(torch.uint8)
    plain = Normalisation((0.0,) * 3, (1 / 255,) * 3, "none")
    images = ResidentImages(pixels[:, :, None, None].expand(-1, -1, 8, 8), numbers % 4, plain)
    splits = dataclasses.replace(nas_scoring.splits, weights=images)
    settings = BatchNormSettings(images=256, augment=False, **options)
    return Scoring(nas_scoring.space, nas_scoring.supernet, nas_scoring.initial, splits, fabric, 3, settings)


def test_recalibration_images_are_common_or_of_each_architecture_its_own(nas_scoring, fabric):
    """Official code: two architectures share about n^2 / N of their n images."""

    def numbers(scoring, text):
        batches = torch.cat(list(scoring.recalibration_batches(scoring.space.parse(text))))[:, :, 0, 0]
        return {int(low + 250 * high) for low, high, _ in batches.round().tolist()}

    texts = ["333103", "132130", "333333", "111111", "222222"]
    common = numbered_scoring(nas_scoring, fabric)
    assert len({frozenset(numbers(common, text)) for text in texts}) == 1
    own = numbered_scoring(nas_scoring, fabric, common_images=False)
    chosen = [numbers(own, text) for text in texts]
    assert [len(one) for one in chosen] == [256] * 5
    assert numbers(own, texts[0]) == chosen[0]  # always the same
    shared = [len(one & other) for one, other in itertools.combinations(chosen, 2)]
    assert max(shared) < 60
    assert abs(sum(shared) / len(shared) - 256**2 / 2000) < 8  # 32.8; one pair deviates by about 5


def test_architectures_of_one_function_have_their_own_recalibration_images_in_common(nas_scoring, fabric):
    own = numbered_scoring(nas_scoring, fabric, common_images=False)
    alike = [own.space.parse(text) for text in ("332010", "314010")]  # node 2 leads nowhere
    assert own.space.function_key(alike[0]) == own.space.function_key(alike[1])
    first, second = (torch.cat(list(own.recalibration_batches(one))) for one in alike)
    assert torch.equal(first, second)
    scores = [open_proxy(own, ProxySettings(expression="loss")).score(one) for one in alike]
    assert scores[0] == scores[1]
