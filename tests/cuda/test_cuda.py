"""What must hold on a GPU: ``pytest -m cuda``. On the CPU, to try these tests: ``GENAS_CUDA_TESTS_ON=cpu``."""

import copy
import json
import os
import random
import warnings

import pytest
import torch
import yaml
from commands import FAST, genas
from torch.nn import functional

from genas.core.checkpoint import load_checkpoint
from genas.core.device import open_fabric
from genas.proxies import KNOWN, BatchNormSettings, EvaluationSettings, ProxySettings, Scoring, open_proxy
from genas.spaces import copy_path, open_space
from genas.training.standalone import RetrainSettings, retrain
from genas.training.supernet import SupernetSettings, initialise, recalibrate, train_supernet

DEVICE = os.environ.get("GENAS_CUDA_TESTS_ON", "cuda")
ON_CPU = DEVICE == "cpu"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not ON_CPU and not torch.cuda.is_available(), reason="torch finds no CUDA GPU here"),
]
only_on_a_gpu = pytest.mark.skipif(ON_CPU, reason="of GPUs alone")
SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)


@pytest.fixture
def gpu():
    """A fabric on the device in single precision; afterwards torch computes so again."""
    yield open_fabric(DEVICE)
    open_fabric(DEVICE)


def relative(found, expected):
    return float((found.double().cpu() - expected.double().cpu()).norm() / expected.double().cpu().norm())


def on(scoring, fabric, **evaluation):
    """The scoring with a copy of its supernet on the fabric's device."""
    network = copy.deepcopy(scoring.supernet).to(fabric.device)
    settings = EvaluationSettings(batch_size=8, **evaluation)
    return Scoring(
        scoring.space, network, scoring.initial, scoring.splits, fabric, scoring.seed, scoring.batchnorm, settings
    )


@pytest.mark.parametrize("training", [False, True])
def test_a_path_of_the_supernet_equals_the_stand_alone_network(space, gpu, training):
    supernet = initialise(space, 10, 3, 0).to(gpu.device).train(training)
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(gpu.device)
    for number in range(5):
        path = space.sample(random.Random(number))
        alone = space.network(10, path, 3).to(gpu.device)
        copy_path(supernet, alone)
        with torch.no_grad():
            assert relative(alone.train(training)(images), supernet(images, path)) < 1e-5


@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_losses_are_those_of_the_cpu(scoring, gpu, engine):
    theirs = on(scoring, gpu, engine=engine)
    ours = scoring.reseeded(scoring.seed, EvaluationSettings(batch_size=8, engine="plain"))
    for number in range(3):
        path = scoring.space.sample(random.Random(number))
        losses, right = theirs.image_losses(theirs.prepared(path))
        expected, also_right = ours.image_losses(ours.prepared(path))
        assert relative(losses, expected) < 1e-4
        assert float((right != also_right).double().mean()) < 0.06  # one image of twenty may stand on the edge


@pytest.mark.parametrize("proxy", KNOWN)
def test_scores_are_those_of_the_cpu_and_repeat_bit_by_bit(nas_scoring, gpu, proxy):
    theirs, path = on(nas_scoring, gpu), SPACE.parse("333123")
    before = {name: value.clone() for name, value in theirs.supernet.state_dict().items()}
    settings = ProxySettings.model_validate({"expression": proxy})
    found = open_proxy(theirs, settings).score(path).value
    expected = open_proxy(nas_scoring, settings).score(path).value
    tolerance = 0.06 if proxy == "accuracy" else 2e-2 * max(abs(expected), 1e-3)  # one image of twenty
    assert abs(found - expected) <= tolerance
    again = on(nas_scoring, gpu)
    assert open_proxy(again, settings).score(path).value == found
    assert all(torch.equal(before[name], value) for name, value in theirs.supernet.state_dict().items())


def test_the_first_steps_of_a_training_are_those_of_the_cpu(tmp_path, tiny, gpu):
    settings = SupernetSettings(epochs=1, batch_size=8, layout="contiguous")
    losses = []
    for place, fabric in enumerate((open_fabric("cpu"), gpu)):
        train_supernet(tmp_path / str(place), SPACE, tiny, settings, fabric, seed=1, quiet=True)
        losses.append(load_checkpoint(tmp_path / str(place) / "checkpoint.safetensors")[1]["rows"][0]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def same_checkpoints(first, second):
    (ours, _), (theirs, _) = load_checkpoint(first), load_checkpoint(second)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("layout", ["channels-last", "contiguous"])
@pytest.mark.parametrize("precision", ["32", "bf16", pytest.param("tf32", marks=only_on_a_gpu)])
def test_a_supernet_continues_bit_identically(tmp_path, space, tiny, interrupt_after, layout, precision):
    fabric = open_fabric(DEVICE, precision)
    settings = SupernetSettings(epochs=3, batch_size=8, layout=layout, checkpoint_seconds=1e-9)

    def train(name):
        train_supernet(tmp_path / name, space, tiny, settings, fabric, seed=1, quiet=True)

    try:
        train("whole")
        interrupt_after(4, lambda: train("parts"))
        train("parts")
        same_checkpoints(tmp_path / "whole" / "checkpoint.safetensors", tmp_path / "parts" / "checkpoint.safetensors")
    finally:
        open_fabric(DEVICE)


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_a_retraining_continues_bit_identically(tmp_path, make_splits, gpu, interrupt_after, name):
    space = SPACE if name == "nasbench201" else open_space("darts", cells=3, channels=4)
    path, splits = space.sample(random.Random(1)), make_splits(48)
    settings = RetrainSettings(epochs=2, batch_size=8, checkpoint_seconds=1e-9)

    def train(folder):
        retrain(tmp_path / folder, space, path, splits, settings, gpu, seed=1, quiet=True)

    train("whole")
    interrupt_after(3, lambda: train("parts"))
    train("parts")
    same_checkpoints(tmp_path / "whole" / "model.safetensors", tmp_path / "parts" / "model.safetensors")


@only_on_a_gpu
def test_single_precision_is_exact_and_tf32_is_asked_for():
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(512, 512, generator=generator).cuda() for _ in range(2))
    images, kernel = torch.randn(8, 64, 32, 32, generator=generator).cuda(), torch.randn(64, 64, 3, 3).cuda()
    errors = {}
    try:
        for precision in ("32", "tf32"):
            open_fabric("cuda", precision)
            product = relative(left @ right, left.double() @ right.double())
            filtered = functional.conv2d(images, kernel), functional.conv2d(images.double(), kernel.double())
            errors[precision] = product, relative(*filtered)
    finally:
        open_fabric("cuda")
    assert max(errors["32"]) < 1e-6
    if torch.cuda.get_device_capability() >= (8, 0):
        assert 1e-5 < min(errors["tf32"])
        assert max(errors["tf32"]) < 2e-3


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 3e-2), pytest.param("tf32", 5e-3, marks=only_on_a_gpu)])
def test_coarser_precisions_are_near(scoring, gpu, precision, tolerance):
    path = scoring.space.sample(random.Random(0))
    plain = on(scoring, gpu)
    expected = plain.evaluate(plain.prepared(path)).loss
    coarse = on(scoring, open_fabric(DEVICE, precision))
    assert coarse.evaluate(coarse.prepared(path)).loss == pytest.approx(expected, rel=tolerance)


@only_on_a_gpu
def test_what_is_computed_does_not_wait_for_the_host(tmp_path, make_splits, gpu):
    network = initialise(SPACE, 4, 3, 0).to(gpu.device)
    alone = SPACE.network(4, SPACE.parse("333333"), 3).to(gpu.device)
    copy_path(network, alone)
    images = [torch.randn(8, 3, 8, 8, device=gpu.device)] * 3
    torch.cuda.set_sync_debug_mode("error")
    try:
        recalibrate(alone, images)
    finally:
        torch.cuda.set_sync_debug_mode("default")

    def waits(steps):
        splits, settings = make_splits(16 * steps), SupernetSettings(epochs=1, batch_size=8)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                train_supernet(tmp_path / str(steps), SPACE, splits, settings, gpu, 0, quiet=True)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(one.message) for one in found)

    waits(2)
    assert waits(3) == waits(9)


def test_a_search_from_data_to_report_and_its_continuation(tmp_path, capsys):
    run = tmp_path / "run"
    given = [part for key, value in FAST.items() for part in ("--set", f"{key}={value}")]
    command = ("search", "--data", "digits", "--space", "nasbench201", "--run", run, "--device", DEVICE, "--quiet")
    assert genas(*command, *given) == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["device"] == DEVICE
    environment = json.loads((run / "environment.json").read_text())
    assert environment["device"].startswith(DEVICE)
    assert ON_CPU or environment["float32_products"] == "ieee"
    best = json.loads((run / "best.json").read_text())
    assert (run / "report.html").is_file()
    assert (run / "retrain" / "result.json").is_file()
    assert genas(*command, *given, "--set", "search.generations=3") == 0
    assert json.loads((run / "best.json").read_text())["score"] >= best["score"]


def test_common_images_of_batch_norm_are_the_same_on_every_device(nas_scoring, gpu):
    settings = BatchNormSettings(images=16, batch_size=8)
    theirs = Scoring(SPACE, nas_scoring.supernet, {}, nas_scoring.splits, gpu, 3, settings)
    ours = Scoring(SPACE, nas_scoring.supernet, {}, nas_scoring.splits, open_fabric("cpu"), 3, settings)
    path = SPACE.parse("333333")
    pairs = zip(theirs.recalibration_batches(path), ours.recalibration_batches(path), strict=True)
    assert all(torch.allclose(found.cpu(), expected, atol=1e-6) for found, expected in pairs)
