"""The script for a GPU, tried on the CPU with tiny sizes: what it measures, what it leaves where something fails."""

import csv
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import gpu  # noqa: E402
import gpu_phase  # noqa: E402
import gpu_science  # noqa: E402
import gpu_speed  # noqa: E402
import gpu_summary  # noqa: E402
import gpu_variants  # noqa: E402

pytestmark = pytest.mark.timeout(600)  # a run is many small measurements


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Accuracies that somebody made up."""
    file = tmp_path_factory.mktemp("table") / "made.csv"
    names = ("nor_conv_3x3", "nor_conv_1x1", "skip_connect")
    rows = list(itertools.product(names, repeat=3))[:16]
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("arch", "cifar10_test"))
        for number, (one, two, three) in enumerate(rows):
            text = f"|{one}~0|+|{two}~0|{three}~1|+|{three}~0|nor_conv_1x1~1|{two}~2|"
            writer.writerow((text, 80 + (7 * number) % 16))
    return file


@pytest.fixture(scope="module")
def results(table, tmp_path_factory):
    """Exit code and everything that a run on the CPU leaves."""
    out = tmp_path_factory.mktemp("out")
    given = ["--tiny", "--device", "cpu", "--data", "digits", "--table", str(table), "--out", str(out)]
    return gpu.main(given), out, json.loads((out / "gpu.json").read_text())


def test_all_phases_end_without_errors(results):
    code, out, content = results
    assert list(content["phases"]) == ["correctness", "speed", "variants", "science"]
    for name, phase in content["phases"].items():
        assert (phase["ended"], phase["errors"], phase["left_out"]) == ("done", {}, []), name
        assert json.loads((out / f"{name}.json").read_text())["results"] == phase["results"]
    assert code == 0
    assert content["card"]["torch"] == torch.__version__
    assert {"date", "commit", "device_name", "sources"} <= content["card"].keys()
    assert not list(out.glob("**/*.safetensors"))  # small enough to carry


def test_the_tests_of_a_gpu_skip_with_a_reason_without_one(results):
    found = results[2]["phases"]["correctness"]["results"]["pytest -m cuda"]
    assert found["exit_code"] == 0
    if not torch.cuda.is_available():
        assert "skipped" in found["summary"]
        assert "torch finds no CUDA GPU here" in found["output"]


def test_speed_has_both_sides_and_a_roofline(results):
    rows = results[2]["phases"]["speed"]["results"]
    best = rows["nasbench201: batches"]["best"]
    assert best in gpu_phase.TINY.batches
    for batch in (gpu_phase.TINY.images, best):
        for kind in ("image pass", "score", "supernet step"):
            row = rows[f"nasbench201: {kind}, batch {batch}"]
            assert row["ratio"] > 0
            assert row["reference"]["median"] > 0
        assert 0 < rows[f"nasbench201: image pass, batch {batch}"]["share_of_roofline"] < 1
        assert rows[f"nasbench201: training, batch {batch}"]["genas"] > 0


def test_every_variant_is_compared_before_its_time_is_told(results):
    rows = results[2]["phases"]["variants"]["results"]
    kinds = ("graph, 32", "all perturbations at once", "on streams", "step, contiguous, fused SGD", "bf16", "plain")
    assert all(any(kind in name for name in rows) for kind in kinds)
    for name, row in rows.items():
        assert 0 <= row["difference"] <= row["tolerance"], name
        assert "error" not in row


def test_science_ranks_along_training_and_extrapolates_what_it_says_is_extrapolated(results):
    _, out, content = results
    rows = content["phases"]["science"]["results"]
    assert rows["training"]["epochs"] == 1
    assert rows["ranking"]["architectures"] == 10
    proxies = {"flatness", "relative-flatness", "accuracy", "loss", "angle", "consensus"}
    assert proxies <= rows["ranking"]["proxies"].keys()
    assert rows["ranking after epoch 0"]["epoch"] == 0
    full = rows["full search"]
    assert full["extrapolated"] is True
    seconds = 250 * rows["training"]["seconds_per_epoch"] + 1000 * rows["published score"]["seconds"]
    assert full["hours"] == pytest.approx(seconds / 3600)
    assert rows["precision"]["bf16"]["flatness"]["tau"] <= 1
    page = (out / "gpu.md").read_text()
    assert "**extrapolated**, not measured" in page
    assert "Tiny sizes" in page
    assert len((out / "scores.csv").read_text().splitlines()) == 11


def run_toy(folder, monkeypatch, text, limit):
    folder.mkdir()
    (folder / "test_toy.py").write_text(
        f"import pytest, time\npytestmark = pytest.mark.cuda\ndef test_it():\n    {text}\n"
    )
    monkeypatch.setattr(gpu, "TESTS", folder)
    notes = gpu_phase.Notes(folder / "notes.json", limit)
    gpu.correctness(notes, None)
    return notes


def test_tests_that_fail_or_hang_are_errors_with_their_output(tmp_path, monkeypatch):
    failed = run_toy(tmp_path / "a", monkeypatch, "assert 1 == 2", limit=60.0)
    assert "1 failed" in failed.errors["tests"]
    assert "assert 1 == 2" in failed.results["pytest -m cuda"]["output"]
    hung = run_toy(tmp_path / "b", monkeypatch, "time.sleep(60)", limit=3.0)
    assert "did not end in time" in hung.errors["tests"]
    assert hung.seconds < 30


def phase(monkeypatch, tmp_path, work, seconds=30.0):
    given = gpu.Given(tmp_path, tmp_path, "cpu", "digits", tmp_path, 1.0, True)
    monkeypatch.setitem(gpu.RUN, "speed", work)
    return gpu.run_phase("speed", seconds, given)


def test_a_fault_is_noted_and_what_comes_after_it_is_measured(monkeypatch, tmp_path):
    def work(notes, given):
        notes.attempt("first", lambda: {"one": 1})
        notes.attempt("second", lambda: 1 / 0)
        notes.attempt("third", lambda: {"value": float("nan")})

    found = phase(monkeypatch, tmp_path, work)
    assert found["ended"] == "done"
    assert found["results"] == {"first": {"one": 1}, "third": {"value": None}}
    assert found["errors"]["second"].startswith("ZeroDivisionError: division by zero (test_gpu.py:")


@pytest.mark.parametrize(("end", "said"), [(lambda: time.sleep(60), "its time was over"), (None, "exit code -9")])
def test_a_phase_that_hangs_or_dies_leaves_what_it_had(monkeypatch, tmp_path, end, said):
    monkeypatch.setattr(gpu, "GRACE", 0.2)

    def work(notes, given):
        notes.add("before", 1)
        end() if end else os.kill(os.getpid(), signal.SIGKILL)

    begun = time.monotonic()
    found = phase(monkeypatch, tmp_path, work, seconds=0.3)
    assert time.monotonic() - begun < 20
    assert said in found["ended"]
    assert found["results"] == {"before": 1}


def test_without_time_a_measurement_is_left_out(tmp_path):
    notes = gpu_phase.Notes(tmp_path / "notes.json", 0.5)
    assert notes.attempt("late", lambda: pytest.fail("begun")) is None
    assert json.loads((tmp_path / "notes.json").read_text())["left_out"] == ["late"]


def test_a_variant_that_is_not_equal_is_told_without_a_time(fabric):
    bench = gpu_speed.Bench("nasbench201", gpu_phase.TINY, fabric)
    settings = gpu_variants.FlatnessSettings(sigmas=gpu_variants.SIGMAS)
    precision, make = gpu_variants.evaluation_variants(bench, 8, settings)["fast, 32, batch 8"]
    losses = make(fabric).score(bench.paths[0]).terms["losses"]
    row = gpu_variants.one_variant(bench, [losses], precision, make, 1.0)
    assert row["score"]["median"] > 0
    row = gpu_variants.one_variant(bench, [[1.001 * one for one in losses]], precision, make, 1.0)
    assert row["difference"] == pytest.approx(0.001 / 1.001)
    assert row["error"] == "not equal to the plain way: no time is told"
    assert "score" not in row
    assert gpu_variants.difference([float("nan")], [1.0]) == float("inf")


def test_traffic_counts_what_operators_read_and_write_once_and_views_not():
    left, right = torch.ones(3, 5), torch.ones(5, 7)
    assert gpu_phase.traffic_of(lambda: left @ right) == 4 * (15 + 35 + 21)
    assert gpu_phase.traffic_of(lambda: left.t().reshape(5, 3)[:2]) == 0
    assert gpu_phase.traffic_of(lambda: left.relu_()) >= 2 * 4 * 15


def test_the_roofline_is_the_slower_of_arithmetic_and_memory():
    peak = {"flops_32": 100.0, "bytes": 10.0}
    bound = gpu_phase.roofline(4.0, 100.0, 20.0, peak)
    assert (bound["bound"], bound["share_of_flops"], bound["share_of_bytes"]) == ("memory", 0.25, 0.5)
    assert bound["share_of_roofline"] == 0.5
    assert gpu_phase.roofline(4.0, 300.0, 20.0, peak)["bound"] == "arithmetic"


def test_agreement_of_two_precisions():
    scores = [float(number) for number in range(20)]
    same = gpu_science.agreement(scores, [2 * one for one in scores])
    assert (same["tau"], same["ten_best_shared"], same["same_best"]) == (pytest.approx(1), 10, True)
    other = gpu_science.agreement(scores, scores[::-1])
    assert (other["tau"], other["ten_best_shared"], other["same_best"]) == (pytest.approx(-1), 0, False)


def test_a_missing_package_is_named_before_anything_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(gpu.NEEDED, "science", ("torch", "no_such_package"))
    assert gpu.missing(["speed", "variants"]) == []
    with pytest.raises(SystemExit):
        gpu.main(["--out", str(tmp_path / "out"), "--device", "cpu"])
    assert "need further packages: no_such_package" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_machine_without_a_gpu_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main(["--out", str(tmp_path / "out")])
    assert "no CUDA GPU" in capsys.readouterr().err


@pytest.fixture
def study(tmp_path, table):
    notes = gpu_phase.Notes(tmp_path / "notes.json", 100.0)
    return gpu_science.Study(notes, tmp_path / "run", "digits", table, "cpu", 64, tiny=True)


def test_a_ranking_that_is_stopped_ranks_what_was_scored(study, monkeypatch):
    study.train(None)
    study.architectures = 14
    add, done = gpu_science.Scores.add, 0

    def add_and_stop(self, rows):
        nonlocal done
        add(self, rows)
        done += 1
        if done == 11:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(gpu_science.Scores, "add", add_and_stop)
    monkeypatch.setattr(gpu_science, "PROXIES", "loss,angle")
    found = study.rank(1, 32, 14, 100.0)
    assert found["architectures_asked"] == 14
    assert 10 <= found["architectures"] < 14
    assert done > 11


def test_the_ranking_takes_as_many_images_as_fit(study):
    score = {"images": 25_000, "seconds": 2.6, "few": 2_000, "seconds_few": 0.3}  # 0.1 s, and 0.1 ms an image
    study.architectures = 300
    whole = gpu_science.OF_A_SCORE * 300 * 2.6
    assert study.plan(score, whole + 1) is None
    assert study.plan(score, whole - 1) == 10_000
    assert study.plan(score, 0.3 * whole) == 5_000
    assert study.plan(None, whole) == 2_000
    study.batch = 2048
    assert [study.batch_of(images) for images in (None, 5_000, 1_000)] == [781, 156, 64]


def test_a_training_that_is_stopped_leaves_the_epochs_that_it_kept(study, monkeypatch):
    from genas.training.loop import Trainer

    one, steps = Trainer._one, 0

    def count(self, *arguments):
        nonlocal steps
        steps += 1
        one(self, *arguments)
        if steps == 15:  # in the second epoch of 12 steps
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "_one", count)
    study.layers.append({"supernet": {"epochs": 3}})
    found = study.train(0.01)
    assert (found["epochs_asked"], found["epochs"], found["stopped"]) == (3, 1, True)
    assert study.kept() == [0, 1]


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN], ids=["heard", "ignored"])
def test_the_timer_sends_ctrl_c(before):
    """Also where the script was started in the background, which may leave Ctrl-C ignored."""
    of_the_tests = signal.signal(signal.SIGINT, before)
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt), gpu_science.stopped_after(0.0):
            time.sleep(30)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, of_the_tests)
    assert time.monotonic() - begun < 10


def test_goals_are_told_beside_what_was_found():
    row = {"reference": {"median": 10.0}, "genas": {"median": 4.0}}
    speed = {"darts: image pass, batch 64": row, "darts: image pass, batch 512": {**row, "genas": {"median": 1.0}}}
    variants = {"darts: fast, tf32, batch 512": {"score": {"median": 0.5}}, "darts: x": {"error": "not equal"}}
    lines = list(gpu_summary.goals({"speed": speed, "variants": variants}))
    assert lines == [
        "- goal: darts, image pass 20 times as fast as the reference: genas 10; best variant 20 "
        "(darts: fast, tf32, batch 512)"
    ]
