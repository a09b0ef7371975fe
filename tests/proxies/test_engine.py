"""Evaluation by ONNX Runtime and OpenVINO: the scores of torch, and refusals in one sentence."""

import os
import random
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
import torch

from genas.core.device import Fabric
from genas.core.errors import ConfigError, GenasError
from genas.proxies import Accuracy, EvaluationSettings, Flatness, FlatnessSettings, Loss, Scoring, engine
from genas.proxies.engine import PIECE, SERVED
from genas.proxies.perturbation import keep_weights
from genas.spaces.graph import UnsupportedNetwork

pytest.importorskip("onnxruntime")
served_engines = pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.skipif(find_spec(one) is None, reason="missing")) for one in SERVED]
)

SETTINGS = FlatnessSettings(sigmas=(0.01, 0.03, 0.06), draws=2)


def with_engine(scoring: Scoring, name: str) -> Scoring:
    evaluation = EvaluationSettings.model_validate({**scoring.evaluation.model_dump(), "engine": name})
    return scoring.reseeded(scoring.seed, evaluation)


@served_engines
def test_scores_equal_those_of_torch(scoring, name):
    served = with_engine(scoring, name)
    for seed in range(3):
        path = scoring.space.sample(random.Random(seed))
        for kind in (Loss, Accuracy):
            ours, theirs = (kind(one).score(path).terms for one in (served, scoring))
            assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
            assert ours["accuracy"] == pytest.approx(theirs["accuracy"], abs=0.02)
        ours, theirs = (Flatness(one, SETTINGS).score(path).terms for one in (served, scoring))
        assert ours["losses"] == pytest.approx(theirs["losses"], rel=1e-5)
        assert len(set(ours["losses"])) == 3  # every noise has weights of its own in the engine


@served_engines
def test_a_race_and_a_whole_score_are_the_same_numbers_on_any_number_of_threads(scoring, name):
    path = scoring.space.sample(random.Random(0))
    size = PIECE + 5  # pieces of two sizes
    evaluation = scoring.evaluation.model_copy(update={"engine": name, "batch_size": size})
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            served = scoring.reseeded(scoring.seed, evaluation)
            served._recalibrated = scoring._recalibrated  # torch's statistics may depend on threads; not the question
            scoring.prepared(path)
            proxy = Flatness(served, FlatnessSettings(sigmas=(0.01, 0.06)))
            batches = -(-served.validation_count // size)
            parts = [proxy.statistics(path, slice(one, one + 1)) for one in range(batches)]
            assert torch.equal(torch.cat(parts), proxy.statistics(path, slice(0, batches)))
            found.append(proxy.score(path))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


@served_engines
def test_the_supernet_and_the_prepared_network_stay_as_they_are(scoring, name):
    served = with_engine(scoring, name)
    before = {name: one.clone() for name, one in scoring.supernet.state_dict().items()}
    path = scoring.space.sample(random.Random(1))
    network = {name: one.clone() for name, one in served.prepared(path).state_dict().items()}
    Flatness(served, SETTINGS).score(path)
    for name, one in scoring.supernet.state_dict().items():
        assert torch.equal(one, before[name])
    for name, one in served.prepared(path).state_dict().items():
        assert torch.equal(one, network[name])


@served_engines
def test_an_engine_whose_losses_differ_is_refused(scoring, name):
    network = scoring.prepared(scoring.space.sample(random.Random(0)))
    images, labels = next(iter(scoring.validation_batches()))
    served = SERVED[name](network, scoring.splits.image_shape)
    assert engine.check_equal(served, served.refresh(), network, images, labels)
    with pytest.raises(GenasError, match=r"equal torch's to 1e-05, got .* and .*; use proxy.evaluation.engine=fast"):
        engine.check_equal(served, lambda one: network(one) * 1.001, network, images, labels)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    scoring.forget()
    assert engine.check_equal(served, network, network, images, labels) is None


def test_a_missing_package_another_precision_and_a_gpu_are_named(scoring, monkeypatch):
    for fabric, got in ((Fabric("cpu", "bf16-mixed"), "precision bf16"), (Fabric("cuda", "32-true"), "device cuda")):
        with pytest.raises(ConfigError, match=f"expected device cpu and precision 32, got .*{got}"):
            engine.check_engine("onnxruntime", fabric)
        with pytest.raises(ConfigError, match=f"expected device cpu and precision 32, got .*{got}"):
            engine.check_engine("openvino", fabric)
        engine.check_engine("fast", fabric)
        assert engine.choose_engine(scoring.space, fabric) == "fast"
    for name, extra in (("onnxruntime", "engine"), ("openvino", "openvino")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(
            ConfigError, match=rf"{name} is not installed; .*pip install 'genas\[{extra}\]', or use .*fast"
        ):
            with_engine(scoring, name)
    assert engine.choose_engine(scoring.space, scoring.fabric) == "fast"


def test_auto_takes_what_is_equal_and_fastest(scoring, monkeypatch):
    monkeypatch.setattr(engine, "check_extra", lambda *arguments: None)
    monkeypatch.setattr(engine, "_time_against_fast", lambda space, name: times[name])
    for onnxruntime, openvino, chosen in ((0.5, 0.7, "onnxruntime"), (0.7, 0.5, "openvino"), (1.1, 1.2, "fast")):
        times = {"onnxruntime": onnxruntime, "openvino": openvino}
        assert with_engine(scoring, "auto").evaluation.engine == chosen


def test_a_trial_takes_the_making_of_the_session_in(scoring, monkeypatch):
    made = []

    class Slow(engine.OnnxRuntime):
        def make(self, model, threads):
            made.append(model)
            time.sleep(0.2)
            return super().make(model, threads)

    monkeypatch.setattr(engine, "_TRIAL_BATCH", (8, *scoring.splits.image_shape))
    monkeypatch.setitem(SERVED, "onnxruntime", Slow)
    assert engine._time_against_fast(scoring.space, "onnxruntime") > 1
    assert len(made) == engine._TRIALS * 2


def test_auto_is_fast_where_an_engine_differs_or_fails(scoring, monkeypatch):
    monkeypatch.setattr(engine, "_seconds", lambda refresh, items: 1.0 / len(items))
    assert engine.choose_engine(scoring.space, scoring.fabric) in SERVED

    def differing(*args):
        raise GenasError("differs")

    def unknown(*args):
        raise UnsupportedNetwork("unknown operation")

    for name, failing in (("check_equal", differing), ("check_equal", lambda *args: None), ("Graph", unknown)):
        with monkeypatch.context() as patch:
            patch.setattr(engine, name, failing)
            assert engine.choose_engine(scoring.space, scoring.fabric) == "fast"


def test_bfloat16_rounds_the_losses_and_nothing_else(scoring):
    path = scoring.space.sample(random.Random(0))
    exact = Loss(scoring).score(path).terms["loss"]
    for name in ("fast", "plain", *(["openvino"] if find_spec("openvino") else [])):
        evaluation = scoring.evaluation.model_copy(update={"engine": name, "precision": "bf16"})
        rounded = scoring.reseeded(scoring.seed, evaluation)
        loss = Loss(rounded).score(path).terms["loss"]
        assert loss != exact
        assert loss == pytest.approx(exact, rel=0.02)
        f32 = scoring.reseeded(scoring.seed, evaluation.model_copy(update={"precision": "run"}))
        statistics = [dict(one.prepared(path).named_buffers()) for one in (rounded, f32)]
        assert all(torch.equal(one, statistics[1][key]) for key, one in statistics[0].items())


def test_openvino_does_not_report_its_use(tmp_path):
    if find_spec("openvino") is None:
        pytest.skip("missing")
    program = (
        "import random\n"
        "from genas.proxies.engine import OpenVino\n"
        "from genas.spaces import open_space\n"
        "space = open_space('nasbench201', cells_per_stage=1, channels=4)\n"
        "OpenVino(space.network(4, space.sample(random.Random(0))).eval(), (3, 8, 8)).refresh()\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not list(tmp_path.iterdir())


def test_bfloat16_is_refused_where_it_cannot_be(scoring):
    with pytest.raises(ConfigError, match="expected proxy.evaluation.precision=run, got bf16; use .*openvino or fast"):
        engine.check_engine("onnxruntime", scoring.fabric, "bf16")
    with pytest.raises(ConfigError, match="precision=bf16: expected a run of precision 32 or bf16, got 64"):
        engine.check_engine("fast", Fabric("cpu", "64-true"), "bf16")
    assert engine.choose_engine(scoring.space, scoring.fabric, "bf16") == "fast"


@served_engines
def test_frozen_weights_are_those_of_the_moment(nas_scoring, name):
    served = with_engine(nas_scoring, name)
    network = served.prepared(served.space.sample(random.Random(0)))
    losses = served.image_losses(network)[0]
    frozen = served.frozen(network)
    with torch.no_grad(), keep_weights(network):
        for parameter in network.parameters():
            parameter.mul_(1.5)
        assert not torch.allclose(served.image_losses(network)[0], losses, rtol=1e-3)
        assert torch.equal(served.image_losses(frozen)[0], losses)


def test_the_next_session_is_made_while_the_last_one_computes(nas_scoring, monkeypatch):
    served, begun, order = with_engine(nas_scoring, "onnxruntime"), engine.Served.begin, []

    def begin(self):
        run = begun(self)
        number = len([one for one in order if one[0] == "made"])
        order.append(("made", number))

        def compute(images):
            if ("computed", number) not in order:
                order.append(("computed", number))
            return run(images)

        return compute

    monkeypatch.setattr(engine.Served, "begin", begin)
    served._engine_equals = True
    Flatness(served, FlatnessSettings()).score(served.space.sample(random.Random(0)))
    steps = [("made", 0), ("made", 1), ("computed", 0), ("made", 2), ("computed", 1), ("computed", 2)]
    assert order == steps
